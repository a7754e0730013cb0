"""A clear of this task runs the function again; a clear of anything else, or a retry, only when it has to."""

from __future__ import annotations

import shutil

import pytest
from installation import TaskKey
from project import until
from workers import Theatre

from airflow_provider_kinetic.clusters.local import LocalCluster


@pytest.fixture
def running(project, theatre):
    """The job runs, and a worker or triggerer watches it."""
    project.close()
    theatre.play_until(lambda: len(project.runs) == 1 and ": running" in theatre.output)
    return theatre


def another(theatre: Theatre, task_id: str, map_index: int = -1) -> Theatre:
    """Another task instance of the same run."""
    key = TaskKey("twice", task_id, "run_1", map_index)
    theatre.db.queue(key, max_tries=1)
    return Theatre(theatre.dag_file, key, theatre.folder)


def value(theatre: Theatre, name: str = "return_value"):
    return theatre.db.xcom(theatre.key, name)


# Clears.


def test_a_clear_after_success_runs_the_function_again(project, theatre):
    assert theatre.play().state == "success"
    job, outputs = value(theatre, "job_id"), value(theatre, "output_dir")

    theatre.clear()

    assert theatre.play().state == "success"
    assert len(project.runs) == 2
    assert value(theatre) == 42
    assert value(theatre, "job_id") != job
    assert value(theatre, "output_dir") != outputs, "a finished training would restore its last step and train nothing"


@pytest.mark.kills
def test_every_further_clear_runs_it_once_more(project, theatre):
    theatre.play()
    for _ in range(2):
        theatre.clear()
        assert theatre.play().state == "success"

    assert len(project.runs) == 3


@pytest.mark.kills
def test_a_clear_while_the_job_runs_ends_it_before_the_next_one_starts(project, running):
    old = value(running, "job_id")

    running.clear()
    running.play_until(lambda: len(project.runs) == 2)
    project.open()

    assert running.play_on().state == "success"
    assert value(running, "job_id") != old
    assert len(project.runs) == 2
    first, second = project.runs
    assert first[0] not in second[1:], "the old process was still there when the new one began"
    until(lambda: not project.processes)


def test_a_clear_of_a_sibling_changes_nothing_here(project, running):
    running.db.clear_sibling("run_1")
    running.lose()
    project.open()

    assert running.play().state == "success"
    assert len(project.runs) == 1


@pytest.mark.kills
def test_a_clear_of_a_sibling_after_success_changes_nothing_here(project, theatre):
    theatre.play()
    theatre.db.clear_sibling("run_1")
    theatre.db.retry(theatre.key)

    assert theatre.play().state == "success"
    assert len(project.runs) == 1


@pytest.mark.kills
def test_a_clear_of_a_map_index_changes_nothing_for_the_others(project, theatre):
    each = [another(theatre, "each", index) for index in (0, 1)]
    for one in each:
        assert one.play().state == "success", one.output[-2000:]
    assert [value(one) for one in each] == [2, 4]

    each[1].clear()
    each[1].play()
    assert len(project.runs) == 3

    each[0].db.retry(each[0].key)
    assert each[0].play().state == "success"
    assert len(project.runs) == 3
    assert [value(one) for one in each] == [2, 4]


# Retries.


def test_a_retry_follows_the_job_that_runs(project, running):
    job = value(running, "job_id")
    running.lose()
    if running.row.state == "deferred":  # a lost triggerer is not a lost try: lose the try as well
        running.db.retry(running.key)
    running.play_until(lambda: f"Job {job} of an earlier try is running" in running.output)
    project.open()

    assert running.play_on().state == "success"
    assert running.row.try_number == 2
    assert (value(running), len(project.runs)) == (42, 1)


def test_a_retry_follows_the_job_that_runs_when_its_artifacts_were_deleted(project, running):
    shutil.rmtree(project.platform / "jobs")
    running.lose()
    project.open()

    assert running.play().state == "success"
    assert (value(running), len(project.runs)) == (42, 1)


@pytest.mark.kills
def test_a_clear_runs_it_again_also_when_the_dag_has_fewer_retries_by_now(project, theatre):
    theatre.open(theatre.db.connections, retries=5)
    theatre.play()

    theatre.clear(retries=1)

    assert theatre.play().state == "success"
    assert len(project.runs) == 2


def test_a_retry_after_a_success_that_was_not_recorded_collects_again(project, theatre):
    last = "resume" if project.deferrable else "start"
    assert theatre.play(f"{last} before PATCH state success").state == "success"
    assert theatre.row.try_number == 2
    assert project.artifacts == [], "the first try had cleaned up already"
    assert (value(theatre), len(project.runs)) == (42, 1)


def test_a_retry_after_a_failure_of_the_function_is_a_new_job_in_the_same_directory(project, theatre):
    project.broken(True)
    assert theatre.play().state == "up_for_retry"
    job, outputs = value(theatre, "job_id"), value(theatre, "output_dir")
    assert "ValueError: broken" in theatre.output

    project.broken(False)
    theatre.db.retry(theatre.key)

    assert theatre.play().state == "success"
    assert value(theatre, "job_id") != job
    assert value(theatre, "output_dir") == outputs, "what the first try saved is what the second one continues"
    assert (value(theatre), len(project.runs)) == (42, 2)


@pytest.mark.kills
def test_a_retry_after_a_failure_is_a_new_job_also_when_somebody_has_deleted_the_old_one(project, theatre):
    project.broken(True)
    assert theatre.play().state == "up_for_retry"
    shutil.rmtree(project.platform / "cluster")

    project.broken(False)
    theatre.db.retry(theatre.key)

    assert theatre.play().state == "success"
    assert (value(theatre), len(project.runs)) == (42, 2)


def test_a_retry_after_the_machine_was_lost_is_a_new_job(project, running):
    job = value(running, "job_id")
    for process in project.processes:
        process.kill()
    assert running.play_on().state == "up_for_retry"

    project.open()
    running.db.retry(running.key)

    assert running.play().state == "success"
    assert value(running, "job_id") != job
    assert (value(running), len(project.runs)) == (42, 2)


def test_a_job_of_somebody_else_under_our_id_is_a_conflict(project, theatre):
    other = another(theatre, "sibling")
    project.close()
    other.play_until(lambda: len(project.runs) == 1)
    db = theatre.db
    with db.transaction():
        db.store[theatre.key] = db.store[other.key]

    theatre.play()

    assert theatre.row.state == "up_for_retry"
    assert "JobConflict" in theatre.output
    project.open()
    assert other.play_on().state == "success", "nobody touched the other's job"
    assert len(project.runs) == 1


# Taken away for good.


@pytest.mark.parametrize("state", ["failed", "success"])
def test_marking_a_task_whose_job_runs_cancels_the_job(project, running, state):
    running.mark(state)

    until(lambda: not project.processes)
    assert running.row.state == state
    assert LocalCluster(project.platform / "cluster").list() == []


# A deferrable task may have deferred by the time of the mark, with no triggerer yet to hear of it: left to gc.
@pytest.mark.parametrize("project", [False], ids=["waiting"], indirect=True)
def test_a_task_that_is_killed_while_it_submits_takes_its_job_along(project, theatre):
    project.close()
    theatre.play_until(lambda: "cluster.create" in "".join(theatre.crossings))

    theatre.mark("failed")

    until(lambda: not project.processes)
    assert theatre.row.state == "failed"
    assert LocalCluster(project.platform / "cluster").list() == []


@pytest.mark.parametrize("project", [False], ids=["waiting"], indirect=True)
def test_a_worker_that_shuts_down_leaves_the_job_to_the_next_try(project, running):
    running.process.terminate()
    running.process.join()
    running.db.retry(running.key)
    project.open()

    assert running.play().state == "success"
    assert (value(running), len(project.runs)) == (42, 1)
