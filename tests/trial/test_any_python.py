"""The whole of a trial on every CPython from 3.9 on that this machine has, without any package."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from interpreters import MINORS, interpreters
from trainings import told

from airflow_provider_kinetic.job.training.series import read_rows

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import os, signal, sys
from airflow_provider_kinetic import job

t = job.trial(sys.argv[1])
with t.restore() as found:
    start = found.step if found else 0
    assert not found or (found.path / "state").read_text() == str(start)
print("resumed %d" % start, flush=True)
for step in range(start + 1, start + 100):
    t.log({"loss": 1 / step}, step=step)
    if step == start + 3:
        os.kill(os.getpid(), signal.SIGTERM)
    if step == start + 2 or t.stopping(step):
        with t.save(step, wait=step % 2 == 0, loss=1 / step) as path:
            (path / "state").write_text(str(step))
    t.exit_if_stopping()
"""


@pytest.mark.parametrize("minor", MINORS)
def test_it_logs_saves_stops_and_goes_on(place, minor):
    python = dict(interpreters()).get(minor)
    if python is None:
        pytest.skip(f"CPython {minor} is not on this machine")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KINETIC_", "PYTHON"))}
    environ.update(PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1", KINETIC_TMP=os.environ["KINETIC_TMP"])
    for attempt in (1, 2):
        command = [python, "-S", "-c", SCRIPT, place.uri]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
        assert (done.returncode, done.stderr) == (143, "")
        assert told(done.stdout, "resumed") == 3 * (attempt - 1)
        end = json.loads(place.vault.read(place.layout.attempt_end(attempt)))
        assert (end["state"], end["checkpoint"]["step"]) == ("PREEMPTED", 3 * attempt)
    trial = place.begin()
    assert [each.step for each in trial.checkpoints] == [5, 6]
    assert trial.latest.metadata == {"loss": 1 / 6}
    assert [row.step for row in read_rows(place.vault, place.layout)] == [1, 2, 3, 4, 5, 6]
