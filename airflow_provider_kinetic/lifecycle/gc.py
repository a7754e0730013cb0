"""Which jobs nobody wants any more.

Cancelling is sure in most cases (``on_kill``, the trigger's guard); what a crash of all of them leaves behind is
found here. The decision is a pure function of what the cluster says of a job and what Airflow says of its
task, and where it cannot be sure it keeps the job: a job too many costs money, one too few costs work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_kinetic.clusters.base import JobSummary
from airflow_provider_kinetic.lifecycle.manifest import ANNOTATION
from airflow_provider_kinetic.model.spec import TaskIdentity

_INDEX = re.compile(r"-1|[0-9]{1,9}")
_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Action(StrEnum):
    """What to do with a job."""

    CANCEL = "cancel"
    """It runs or waits: stop it and remove what it leaves."""
    REMOVE = "remove"
    """It is over: remove its object and artifacts."""
    KEEP = "keep"
    NOT_OURS = "not ours"


@dataclass(frozen=True)
class Verdict:
    """What to do, and why, in words for people."""

    action: Action
    reason: str


@dataclass(frozen=True)
class TaskFacts:
    """What Airflow says of the task instance that submitted a job."""

    state: str | None
    """None: it waits to be scheduled."""
    newest_job_id: str | None = None
    """The job of its newest submission; None where that is unknown."""
    outlived: bool = True
    """Its job may go on after the task's success: it submits, and later tasks observe."""


Facts = Callable[[TaskIdentity], TaskFacts | None]
"""Asks Airflow of a task instance: None where there is none any more. Raises :class:`Unanswered`."""


class Unanswered(Exception):
    """Airflow did not say; the message is why, in words for people."""


@dataclass(frozen=True)
class Judged:
    """A job, what is to be done with it, and, once it was tried, how that went."""

    job: JobSummary
    verdict: Verdict
    outcome: str | None = None
    failed: bool = False

    @property
    def due(self) -> bool:
        return self.verdict.action in (Action.CANCEL, Action.REMOVE)


def judge_all(
    jobs: Iterable[JobSummary], installation: str, facts: Facts, *, older_than: float, now: float
) -> list[Judged]:
    """A verdict for every job of a listing; where Airflow does not answer the job is kept."""

    def verdict(job: JobSummary) -> Verdict:
        identity = owner(job)
        try:
            task = facts(identity) if identity and ours(job, installation) else None
        except Unanswered as why:
            return Verdict(Action.KEEP, f"Airflow did not say how its task is: {why}")
        return judge(job, installation, task, older_than=older_than, now=job.status.server_time or now)

    return [Judged(job, verdict(job)) for job in jobs]


def owner(job: JobSummary) -> TaskIdentity | None:
    """The task instance that a job's annotations name; None for jobs of upstream's client, or where they name none."""
    said = {key: job.annotations.get(f"{ANNOTATION}/{key}") for key in ("dag", "task", "run")}
    if not all(said.values()):
        return None
    index = job.annotations.get(f"{ANNOTATION}/map-index", "-1")
    if not _INDEX.fullmatch(index):
        return None
    return TaskIdentity(
        dag_id=str(said["dag"]), task_id=str(said["task"]), run_id=str(said["run"]), map_index=int(index)
    )


def ours(job: JobSummary, installation: str) -> bool:
    """Whether a task of this installation submitted the job."""
    said = job.annotations.get(f"{ANNOTATION}/installation")
    return bool(said) and said == installation and owner(job) is not None


def judge(job: JobSummary, installation: str, task: TaskFacts | None, *, older_than: float, now: float) -> Verdict:
    """Pure core of ``airflow kinetic gc`` and of the DAG that does the same.

    :param task: None: there is no such task instance any more.
    :param older_than: seconds since its end for which a job that is over is kept, so that a failure can be looked at.
    :param now: Unix time.
    """
    if not ours(job, installation):
        return Verdict(Action.NOT_OURS, _whose(job))
    unwanted = _unwanted(job, task)
    if unwanted is None:
        return Verdict(Action.KEEP, f"its task is {(task and task.state) or 'not scheduled yet'}")
    if not job.status.state.terminal:
        return _of_active(job, task, unwanted)
    ended = job.status.finished_at or job.status.created_at
    if ended is not None and now - ended >= older_than:
        return Verdict(Action.REMOVE, unwanted)
    return Verdict(Action.KEEP, f"{unwanted}; ended only lately")


def _whose(job: JobSummary) -> str:
    said = job.annotations.get(f"{ANNOTATION}/installation")
    if said and owner(job) is None:
        return "its annotations name no task"
    return f"of the installation {said}" if said else "not submitted by this provider"


def _unwanted(job: JobSummary, task: TaskFacts | None) -> str | None:
    if task is None:
        return "its task instance is gone"
    if _superseded(job, task):
        return f"its task has submitted {task.newest_job_id} since"
    return f"its task is {task.state}" if task.state in _OVER else None


def _of_active(job: JobSummary, task: TaskFacts | None, unwanted: str) -> Verdict:
    if job.status.stopping:
        return Verdict(Action.KEEP, f"{unwanted}; it is being stopped already")
    if task is not None and task.state == "success" and task.outlived and not _superseded(job, task):
        return Verdict(Action.KEEP, "its task has succeeded and left it to other tasks")
    return Verdict(Action.CANCEL, unwanted)


def _superseded(job: JobSummary, task: TaskFacts) -> bool:
    return task.newest_job_id is not None and task.newest_job_id != job.job_id
