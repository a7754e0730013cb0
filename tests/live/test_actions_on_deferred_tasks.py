"""What a user does to a task that is deferred reaches its job, and no other."""

from __future__ import annotations

import pytest
from live import Job, Task, eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]
Runs = dict[str, list[Task]]


def _gone(job: Job) -> None:
    eventually(lambda: not job.alive, f"the process of {job.job_id} is gone", timeout=45)


def test_a_clear_ends_the_old_job_before_the_new_one_begins(runs: Runs) -> None:
    [task] = runs["cleared"]
    old = task.job(state="deferred")
    task.clear()
    new = task.job(state="deferred", after=old)
    assert not old.alive
    assert new.alive
    task.release()
    task.wait("success")
    assert task.xcom() == task.xcom("job_id") == new.job_id
    assert task.executions() == [old, new]


@pytest.mark.parametrize(("label", "state"), [("failed", "failed"), ("succeeded", "success")])
def test_marking_the_task_cancels_the_job(runs: Runs, label: str, state: str) -> None:
    [task] = runs[label]
    job = task.job(state="deferred")
    task.mark(state)
    _gone(job)
    assert task.state() == state
    assert task.executions() == [job]


def test_marking_the_run_failed_cancels_the_job(runs: Runs) -> None:
    [task] = runs["run failed"]
    job = task.job(state="deferred")
    task.mark_run("failed")
    _gone(job)
    assert task.state() == "failed"


def test_map_indexes_do_not_touch_each_other(runs: Runs) -> None:
    cleared, marked, untouched = runs["mapped"]
    old, doomed, safe = [task.job(state="deferred") for task in runs["mapped"]]
    marked.mark("failed")
    cleared.clear()
    new = cleared.job(state="deferred", after=old)
    _gone(doomed)
    assert not old.alive
    assert untouched.still_beats()
    for task in (cleared, untouched):
        task.release()
        task.wait("success")
    assert [cleared.xcom(), untouched.xcom()] == [new.job_id, safe.job_id]
    assert [task.executions() for task in runs["mapped"]] == [[old, new], [doomed], [safe]]


def test_a_sensor_that_is_marked_failed_leaves_the_job_alone(runs: Runs) -> None:
    [sensor] = runs["sensed"]
    job = sensor.job(state="deferred")
    sensor.mark("failed")
    sensor.wait("failed")
    for _ in range(3):
        assert sensor.still_beats()
    assert job.alive
    sensor.release()
    _gone(job)


def test_execution_timeout_ends_job_and_task(runs: Runs) -> None:
    [task] = runs["timed out"]
    task.wait("failed")
    [job] = task.executions()
    _gone(job)
    log = "\n".join(task.log())
    assert "JobTimeout" in log
    assert "execution_timeout" in log
