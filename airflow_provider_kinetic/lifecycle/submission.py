"""Exactly once: which job a try is about, decided before anything is sent.

A submission is written to the task's own durable memory before its first call, under an id that is
never computed again. Whatever dies afterwards, the next try reads that record first and then knows
one of four things: the job runs (adopt it), its result is there (collect it, again if need be), it
never came into being (submit it under the same id), or it is over and another one is due (``n + 1``).

A user's *clear* asks for a new execution, a *retry* does not. They are told apart by ``max_tries``, which
Airflow sets anew for the cleared task instance alone (its tries so far plus the ``retries`` of today's
DAG); ``dag_run.clear_number`` grows for every task of the run and therefore decides nothing (``airflow`` 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Protocol

from airflow_provider_kinetic.model import names
from airflow_provider_kinetic.model.status import JobState, JobStatus


@dataclass(frozen=True)
class SubmissionRecord:
    """What a try leaves for the next one. ``n`` counts submissions, ``generation`` output directories."""

    nonce: str
    n: int
    max_tries: int
    job_id: str
    output_dir: str
    generation: int = 1
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the job has reported of its results (``JobStatus.objects``), once it is known: it must be found again when
    the cluster has forgotten the job, and nobody who writes to the bucket may change it (``design`` 3.9)."""

    @classmethod
    def first(cls, *, max_tries: int) -> SubmissionRecord:
        """The first submission of a task instance; its output directory is chosen next."""
        nonce = names.new_nonce()
        return cls(nonce=nonce, n=1, max_tries=max_tries, job_id=names.job_id(nonce, 1), output_dir="")

    def next(self, *, max_tries: int) -> SubmissionRecord:
        """The submission after this one."""
        n = self.n + 1
        return replace(self, n=n, max_tries=max_tries, job_id=names.job_id(self.nonce, n), objects={})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SubmissionRecord:
        return cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw})


class Journal(Protocol):
    """The task instance's durable memory: it outlives tries and clears."""

    def load(self) -> SubmissionRecord | None: ...

    def save(self, record: SubmissionRecord) -> None: ...


def note_results(journal: Journal, job_id: str, status: JobStatus) -> None:
    """Write down what the cluster has reported of the results, while the job is the one of the record."""
    record = journal.load()
    if record is not None and record.job_id == job_id and status.objects and record.objects != status.objects:
        journal.save(replace(record, objects=status.objects))


class Step(StrEnum):
    """What a try has to do."""

    SUBMIT = "submit"
    ADOPT = "adopt"
    COLLECT = "collect"
    REPLACE = "replace"
    """Submit the next one, after the old job, if it still runs, was cancelled and has ended."""


@dataclass(frozen=True)
class Found:
    """What the world says of the job in the record."""

    status: JobStatus
    """Live, or the one that was kept at clean-up, or NOT_FOUND."""
    result: bool = False
    """A result object of this job exists."""
    started: bool = False
    """The runner recorded at least one attempt of this job."""
    cancelled: bool = False
    """We cancelled it."""


def decide(record: SubmissionRecord, found: Found, *, max_tries: int) -> Step:
    """Pure core of exactly-once (``design`` 3.1)."""
    if max_tries != record.max_tries or found.cancelled or found.status.stopping:
        return Step.REPLACE
    state = found.status.state
    if state is JobState.SUCCEEDED:
        return Step.COLLECT if found.result else Step.REPLACE
    if state is JobState.FAILED:
        return Step.REPLACE
    if state is JobState.NOT_FOUND:
        return _lost(found)
    return Step.ADOPT


def _lost(found: Found) -> Step:
    if found.result:
        return Step.COLLECT
    return Step.REPLACE if found.started else Step.SUBMIT
