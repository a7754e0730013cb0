"""A task instance's durable memory, on Airflow's task state store.

The store is keyed by DAG, task, run and map index, it outlives tries and clears, and the entry never
expires: a run may be cleared a year later (``airflow`` 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord

if TYPE_CHECKING:
    from airflow_provider_kinetic.model.status import JobStatus

KEY = "kinetic_submission"
RESULTS_KEY = "kinetic_results"


class TaskStateStore(Protocol):
    """The part of Airflow's accessor that is used here."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any, *, retention: Any = None) -> None: ...


class TaskStateJournal:
    """``lifecycle.submission.Journal`` for one task instance."""

    def __init__(self, store: TaskStateStore) -> None:
        self._store = store

    def load(self) -> SubmissionRecord | None:
        raw = self._store.get(KEY)
        return SubmissionRecord.from_dict(raw) if isinstance(raw, Mapping) else None

    def save(self, record: SubmissionRecord) -> None:
        _keep(self._store, KEY, record.to_dict())


def remembered(store: TaskStateStore, job_id: str, status: JobStatus) -> JobStatus:
    """The status with what an earlier try of this task saw of the results, and from now on remembered by this one.

    For tasks that collect a job which is not their own: somebody may clean it up between two tries.
    """
    if status.objects:
        note = {"job_id": job_id, "objects": dict(status.objects)}
        if store.get(RESULTS_KEY) != note:
            _keep(store, RESULTS_KEY, note)
        return status
    noted = store.get(RESULTS_KEY)
    return status.knowing(noted["objects"]) if isinstance(noted, Mapping) and noted["job_id"] == job_id else status


def _keep(store: TaskStateStore, key: str, value: Any) -> None:
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store.set(key, value, retention=NEVER_EXPIRE)
