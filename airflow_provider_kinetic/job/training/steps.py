"""Which checkpoint a start will continue from, as far as it can be seen from outside of the user's code.

Native Orbax steps are directories named by an integer. On an object store a step counts once its
``commit_success.txt`` is there; on a file system Orbax renames a finished directory, so the name alone
says it (``checkpointing`` 1.2, 3.9).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_kinetic.job.storage import Storage

MARKER = "commit_success.txt"


@dataclass(frozen=True)
class Checkpoint:
    """One committed step."""

    step: int
    uri: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def native_steps(storage: Storage, checkpoints: str) -> list[Checkpoint]:
    """The committed steps under the ``checkpoints`` URI, lowest first."""
    return steps_among(storage.list(f"{checkpoints}/"), checkpoints)


def steps_among(uris: Iterable[str], checkpoints: str) -> list[Checkpoint]:
    """As :func:`native_steps`, of what is listed under ``checkpoints``."""
    by_rename = checkpoints.startswith("file://")
    found: dict[int, str] = {}
    for uri in uris:
        name, _, rest = uri[len(checkpoints) + 1 :].partition("/")
        if name.isdecimal() and rest and (by_rename or rest == MARKER):
            found[int(name)] = f"{checkpoints}/{name}"
    return [Checkpoint(step, uri) for step, uri in sorted(found.items())]


def newest_step(storage: Storage, checkpoints: str) -> Checkpoint | None:
    """The last of :func:`native_steps`, or None."""
    found = native_steps(storage, checkpoints)
    return found[-1] if found else None
