"""A task tells of its own job, also when another one works in the trial by now."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from checkpoint_files import write

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.retention import Keep, delete
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import FileVault, as_uri
from airflow_provider_kinetic.model.errors import JobPreempted, Preempted
from airflow_provider_kinetic.operators.training import tell
from airflow_provider_kinetic.stores.local import LocalStore


class Ti:
    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.fixture
def trial_dir(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("KINETIC_TMP", str(tmp_path / "scratch"))
    return as_uri(tmp_path / "out")


@pytest.fixture
def begin(trial_dir, monkeypatch):
    """An attempt of a job, which saves a checkpoint of this step; closed with the test."""
    begun = []

    def run(job_id, step):
        monkeypatch.setenv("JOB_ID", job_id)
        trial = Trial(trial_dir, Keep(latest=10), FileVault())
        begun.append(trial)
        with trial.save(step) as folder:
            write(folder, {"state": str(step).encode()})
        return trial

    yield run
    for trial in begun:
        if not trial.closed:
            trial.close()


@pytest.fixture
def told(trial_dir):
    """The XComs of the task whose job this is, and its error."""

    def run(job_id):
        ti, error = Ti(), JobPreempted(f"Job {job_id} is over.")
        handle: Any = SimpleNamespace(job_id=job_id, output_dir=trial_dir, ours=True)
        hook: Any = SimpleNamespace(ports=SimpleNamespace(store=LocalStore()))
        operator = SimpleNamespace(log=logging.getLogger("task"), outlets=[])
        tell(operator, {"ti": ti}, hook, handle, error)
        return ti.xcoms, error.summary

    return run


def test_of_a_job_that_another_one_replaced(begin, told):
    begin("job-A", 3).close(Preempted())
    begin("job-B", 11)

    xcoms, summary = told("job-A")

    trial = xcoms["kinetic_trial"]
    assert (trial["attempt"], trial["state"], trial["step"], trial["preemptions"]) == (1, "PREEMPTED", 3, 1)
    assert xcoms["kinetic_checkpoint"].step == 3
    assert summary == "Job job-A is over. Attempt 1: preempted 1 time, lost 0 s of work; last checkpoint at step 3."


def test_a_job_that_did_not_say_how_it_ended_is_lost_and_the_other_is_not(begin, told):
    begin("job-A", 3)

    assert told("job-A")[0]["kinetic_trial"]["state"] == "LOST"
    begin("job-B", 11)
    assert told("job-A")[0]["kinetic_trial"]["state"] == "LOST"


def test_troubles_of_earlier_jobs_are_not_those_of_this_one(begin, told):
    begin("job-A", 3).close(Preempted())
    begin("job-B", 11).close()

    xcoms, summary = told("job-B")

    assert (xcoms["kinetic_trial"]["preemptions"], xcoms["kinetic_trial"]["lost_seconds"]) == (0, 0.0)
    assert "Attempt 2: last checkpoint at step 11." in summary


def test_what_another_job_has_deleted_is_not_handed_on(begin, told, trial_dir):
    first = begin("job-A", 3)
    name = first.latest.name
    first.close()
    begin("job-B", 11)
    delete(FileVault(), TrialLayout(trial_dir), name)

    xcoms, summary = told("job-A")

    assert "kinetic_checkpoint" not in xcoms
    assert xcoms["kinetic_trial"]["state"] == "COMPLETED"
    assert "Attempt 1: no checkpoint." in summary


def test_of_a_job_that_began_nothing(begin, told):
    begin("job-A", 3).close()

    xcoms, summary = told("job-B")

    assert (xcoms["kinetic_trial"]["attempt"], xcoms["kinetic_trial"]["state"]) == (0, "PENDING")
    assert xcoms["kinetic_checkpoint"].step == 3
    assert "The job has begun no attempt: last checkpoint at step 3." in summary


ATTACHED = """

with DAG('shop', schedule=None) as dag:
    KineticRunOperator(task_id='attached', job_id={job_id!r}, deferrable={deferrable}, retries=0)
"""


@pytest.mark.faults
@pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
def test_an_attached_task_tells_of_the_job_that_it_names(train, shop, deferrable, monkeypatch):
    first = train("fail")
    handle = shop.handle()
    monkeypatch.setenv("JOB_ID", "job-B")
    with Trial(first.xcoms["output_dir"], Keep(latest=10), FileVault()) as other:
        with other.save(11):
            pass
        shop.write(ATTACHED.format(job_id=handle.job_id, deferrable=deferrable))
        attached = shop.run("attached")

    assert "Attempt 1: " in attached.error.summary
    assert "last checkpoint at step 3" in attached.error.summary
    assert attached.xcoms["kinetic_trial"] == {**first.xcoms["kinetic_trial"], "metrics": ANY, "lost_seconds": ANY}
    assert attached.xcoms["kinetic_checkpoint"] == first.xcoms["kinetic_checkpoint"]
