"""What a user does to a task that waits in its worker reaches its job."""

from __future__ import annotations

import pytest
from live import Task, eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]
Runs = dict[str, list[Task]]


def test_a_clear_ends_the_old_job_before_the_new_one_begins(runs: Runs) -> None:
    [task] = runs["waiting, cleared"]
    old = task.job(state="running")
    task.clear()
    new = task.job(state="running", after=old)
    assert not old.alive
    assert new.alive
    task.release()
    task.wait("success")
    assert task.xcom() == task.xcom("job_id") == new.job_id
    assert task.executions() == [old, new]


def test_marking_the_task_failed_cancels_the_job(runs: Runs) -> None:
    [task] = runs["waiting, failed"]
    job = task.job(state="running")
    task.mark("failed")
    eventually(lambda: not job.alive, "the job is gone", timeout=45)
    assert task.state() == "failed"
    assert task.executions() == [job]
