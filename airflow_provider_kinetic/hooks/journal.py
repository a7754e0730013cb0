"""A task instance's durable memory, on Airflow's task state store.

The store is keyed by DAG, task, run and map index, it outlives tries and clears, and the entry never
expires: a run may be cleared a year later (``airflow`` 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord

KEY = "kinetic_submission"


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
        from airflow.sdk.execution_time.context import NEVER_EXPIRE

        self._store.set(KEY, record.to_dict(), retention=NEVER_EXPIRE)
