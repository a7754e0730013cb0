"""Which jobs are cancelled or removed, and above all which are not."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.clusters.base import JobSummary
from airflow_provider_kinetic.lifecycle.gc import Action, TaskFacts, judge, owner
from airflow_provider_kinetic.model.spec import TaskIdentity
from airflow_provider_kinetic.model.status import JobState, JobStatus

DAY = 86400.0
NOW = 1_000 * DAY
OURS = {
    "airflow-provider-kinetic/installation": "home",
    "airflow-provider-kinetic/dag": "etl",
    "airflow-provider-kinetic/task": "train",
    "airflow-provider-kinetic/run": "r1",
    "airflow-provider-kinetic/map-index": "2",
}
RUNNING = JobStatus(JobState.RUNNING, created_at=NOW - 60)
QUEUED = JobStatus(JobState.PENDING, created_at=NOW - 60)
STOPPING = JobStatus(JobState.RUNNING, created_at=NOW - 60, stopping=True)
FAILED_LATELY = JobStatus(JobState.FAILED, finished_at=NOW - DAY)
FAILED_LONG_AGO = JobStatus(JobState.FAILED, finished_at=NOW - 8 * DAY)
DONE_LONG_AGO = JobStatus(JobState.SUCCEEDED, finished_at=NOW - 8 * DAY)
LOST_LONG_AGO = JobStatus(JobState.FAILED, created_at=NOW - 8 * DAY)


def at(state: str | None, newest: str | None = "job-1", *, outlived: bool = False) -> TaskFacts:
    return TaskFacts(state, newest, outlived)


@pytest.mark.parametrize(
    ("status", "task", "action"),
    [
        # The task is at it: its job is its own, whatever the job's state.
        (RUNNING, at("running"), Action.KEEP),
        (RUNNING, at("deferred"), Action.KEEP),
        (RUNNING, at("up_for_retry"), Action.KEEP),
        (RUNNING, at("restarting"), Action.KEEP),
        (RUNNING, at("queued"), Action.KEEP),
        (RUNNING, at(None), Action.KEEP),
        (RUNNING, at("a state of next year"), Action.KEEP),
        (FAILED_LONG_AGO, at("up_for_retry"), Action.KEEP),
        (DONE_LONG_AGO, at("running"), Action.KEEP),
        (RUNNING, at("running", None), Action.KEEP),
        # The task is over or gone.
        *((RUNNING, at(state), Action.CANCEL) for state in ("success", "failed", "skipped", "removed")),
        (RUNNING, at("upstream_failed"), Action.CANCEL),
        (QUEUED, at("failed"), Action.CANCEL),
        (RUNNING, None, Action.CANCEL),
        (QUEUED, None, Action.CANCEL),
        (STOPPING, at("failed"), Action.KEEP),
        # It submits and others observe.
        (RUNNING, at("success", outlived=True), Action.KEEP),
        (RUNNING, at("failed", outlived=True), Action.CANCEL),
        (RUNNING, at("success", "job-2", outlived=True), Action.CANCEL),
        # The task has another job by now.
        (RUNNING, at("running", "job-2"), Action.CANCEL),
        (FAILED_LONG_AGO, at("running", "job-2"), Action.REMOVE),
        (FAILED_LATELY, at("running", "job-2"), Action.KEEP),
        # What is over can be looked at for a while.
        (FAILED_LATELY, at("failed"), Action.KEEP),
        (FAILED_LATELY, None, Action.KEEP),
        (FAILED_LONG_AGO, at("failed"), Action.REMOVE),
        (FAILED_LONG_AGO, None, Action.REMOVE),
        (LOST_LONG_AGO, None, Action.REMOVE),
        (DONE_LONG_AGO, at("success", outlived=True), Action.REMOVE),
    ],
)
def test_a_job_of_ours(status: JobStatus, task: TaskFacts | None, action: Action) -> None:
    job = JobSummary("kinetic-job-1", "job-1", status, annotations=OURS)
    verdict = judge(job, "home", task, older_than=7 * DAY, now=NOW)
    assert verdict.action is action
    assert verdict.reason


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {**OURS, "airflow-provider-kinetic/installation": "elsewhere"},
        {**OURS, "airflow-provider-kinetic/installation": ""},
        {"airflow-provider-kinetic/installation": "home"},
        {**OURS, "airflow-provider-kinetic/map-index": "first"},
        {**OURS, "airflow-provider-kinetic/map-index": "9" * 30},
    ],
)
@pytest.mark.parametrize("status", [RUNNING, FAILED_LONG_AGO])
def test_a_job_of_others_is_never_touched(annotations: dict[str, str], status: JobStatus) -> None:
    job = JobSummary("kinetic-job-1", "job-1", status, annotations=annotations)
    assert judge(job, "home", None, older_than=0, now=NOW).action is Action.NOT_OURS


def test_without_an_installation_nothing_is_ours() -> None:
    job = JobSummary(
        "kinetic-job-1", "job-1", RUNNING, annotations={**OURS, "airflow-provider-kinetic/installation": ""}
    )
    assert judge(job, "", None, older_than=0, now=NOW).action is Action.NOT_OURS


def test_the_task_that_a_job_belongs_to() -> None:
    job = JobSummary("kinetic-job-1", "job-1", RUNNING, annotations=OURS)
    assert owner(job) == TaskIdentity("etl", "train", "r1", 2)
