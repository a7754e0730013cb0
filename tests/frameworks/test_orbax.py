"""What the trial promises of Orbax, with Orbax itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import orbax_places
from frameworks import Script

CHECKS = Path(orbax_places.__file__).with_name("orbax_checks.py")


def test_what_the_trial_promises(place: orbax_places.Place, script: Callable[..., Script]) -> None:
    """Each ``check_…`` of ``orbax_checks.py``, in one interpreter."""
    checks = script(CHECKS, place.uri, **place.env)
    assert checks.end() == 0, checks.output
    results = json.loads(checks.output.splitlines()[-1])
    assert len(results) == CHECKS.read_text().count("\ndef check_")
    troubles = [f"{name}:\n{trouble}" for name, trouble in results.items() if trouble]
    assert not troubles, "\n".join(troubles)
