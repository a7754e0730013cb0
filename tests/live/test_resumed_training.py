"""A training keeps what it has done: over a lost machine, a failure, and into the DAG that comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from live import Live, Task, eventually

from demo.run import preempt
from demo.trial import Trial

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]


def test_a_training_goes_on_and_the_dag_behind_its_asset_begins_with_it(live: Live) -> None:
    [task] = live.start("trained", "trained", task_id="train")
    task.api.call("PATCH", "dags/tuned", json={"is_paused": False})
    eventually(lambda: _saved(task, 1), "the first attempt has saved")
    preempt(live.folder / "kinetic" / "cluster", task.xcom("kinetic_job")["k8s_name"])

    task.wait("failed")
    assert _told(task, 1).startswith("Attempt 2: preempted 1 time, lost ")
    assert "; last checkpoint at step 2 (" in _told(task, 1)
    trial = task.xcom("kinetic_trial")
    assert (trial["attempt"], trial["state"], trial["preemptions"]) == (2, "FAILED", 1)
    assert trial["metrics"] == {"train/loss": 0.5}
    assert "step=2" in str(task.xcom("kinetic_checkpoint"))

    task.clear()
    task.wait("success")
    assert task.xcom() == [1, 2, 3]
    assert "last checkpoint at step 3" in _told(task, 2)

    run_id = eventually(lambda: _first_run(task), "the asset starts the other DAG")
    tuned = Task(task.api, "tuned", run_id, "tune", live.folder)
    tuned.wait("success", "failed")
    [checkpoint] = _saved(task, 3)
    assert tuned.xcom() == {"steps": "1 2 3", "source": checkpoint.as_uri()}


def _saved(task: Task, step: int) -> list[Path]:
    """Folders of complete checkpoints."""
    directory = Trial.of(task.xcom("output_dir") or "/nowhere").directory
    records = (directory / ".kinetic" / "checkpoints").glob(f"{step:012}-*.json")
    return [directory / "checkpoints" / record.stem for record in records]


def _told(task: Task, try_number: int) -> str:
    [line] = [line for line in task.log(try_number) if line.startswith("Attempt ")]
    return line


def _first_run(task: Task) -> str | None:
    runs: list[dict[str, str]] = task.api.call("GET", "dags/tuned/dagRuns")["dag_runs"]
    return runs[0]["dag_run_id"] if runs else None
