"""The example of JAX with Orbax: whatever ends it, the next start goes on from the last checkpoint."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from frameworks import EXAMPLES, environ
from orbax_places import Place

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.vaults import FileVault

EXAMPLE = EXAMPLES / "jax_orbax.py"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_on_where_it_was(script, tmp_path, number):
    first = script(EXAMPLE, "1000000")
    first.wait_for("saves step 750")
    assert first.end(number) == (143 if number == signal.SIGTERM else -signal.SIGKILL), first.output
    begun = int(re.findall(r"saves step (\d+)\n", first.output)[-1])

    place = Place(path_to_uri(tmp_path / "kinetic-output"), FileVault())
    last = place.steps[-1]
    assert last == begun if number == signal.SIGTERM else last >= 500
    second = script(EXAMPLE, str(last + 300))
    assert second.end() == 0, second.output
    assert f"goes on after step {last}\n" in second.output
    assert place.rows() == list(range(50, last + 301, 50)), "the curve has no gap and nothing twice"
    assert place.record("attempts/0002.end.json")["state"] == "COMPLETED"


def test_airflow_reads_it_without_jax():
    code = f"import runpy, sys; runpy.run_path({str(EXAMPLE)!r}); print({{'jax', 'orbax'}} & set(sys.modules))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
