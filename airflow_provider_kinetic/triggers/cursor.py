"""Up to where a task's log shows its job's output, written down for the next triggerer.

It is an XCom, because that is all a trigger can write (``airflow`` 3.5). It is written seldom: every write is a
request to Airflow's API, and what is lost with it are a few lines that are shown twice.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from airflow_provider_kinetic.hooks.task import XCOM_LOG_CURSOR, cursor_of

EVERY = 5.0
"""Shortest time in seconds between two writes."""


class Cursor:
    """That of one task instance; without one (``dag.test()``) nothing is remembered."""

    def __init__(self, task_instance: Any, job_id: str) -> None:
        self._ti, self._job_id = task_instance, job_id
        self._found: str | None = None
        self._unsaved: str | None = None
        self._due = 0.0

    async def load(self) -> str:
        """The last log chunk that this life of the trigger has shown, or an earlier one; asked for once."""
        if self._found is None:
            self._found = "" if self._ti is None else await self._ask()
        return self._found

    async def _ask(self) -> str:
        from airflow.sdk.execution_time.xcom import XCom

        found = None
        with suppress(Exception):
            found = await XCom.aget_one(key=XCOM_LOG_CURSOR, **self._where)
        return cursor_of(found, self._job_id)

    def move(self, cursor: str) -> None:
        self._found = self._unsaved = cursor

    @property
    def due_in(self) -> float | None:
        """Seconds until :meth:`save` has something to do."""
        return None if self._unsaved is None or self._ti is None else max(0.0, self._due - time.monotonic())

    async def save(self, *, at_once: bool = False) -> None:
        """Write it down, not too often. A cursor that is lost repeats lines, it must not cost the job."""
        if self.due_in is None or (self.due_in > 0 and not at_once):
            return
        from airflow.sdk.execution_time.xcom import XCom

        value = {"job_id": self._job_id, "cursor": self._unsaved}
        self._unsaved, self._due = None, time.monotonic() + EVERY
        with suppress(Exception):
            await XCom.aset(key=XCOM_LOG_CURSOR, value=value, **self._where)

    @property
    def _where(self) -> dict[str, Any]:
        ti = self._ti
        return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
