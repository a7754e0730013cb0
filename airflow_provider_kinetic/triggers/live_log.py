"""The output of a job while it runs, read beside its observation.

A store that is slow, or a thousand jobs that print, must never keep a trigger from noticing the end of its job. So a
reading runs by itself, in threads that nothing else uses; the observation takes what is there. What was not shown in
time is shown by the worker that the task resumes on.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from airflow_provider_kinetic.lifecycle.observe import CHUNKS_PER_LOOK, Tail
from airflow_provider_kinetic.triggers.budget import LineBudget, RequestBudget
from airflow_provider_kinetic.triggers.cursor import Cursor

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports

QUIET = 60.0
"""Longest time in seconds between two looks at a job that prints nothing, while others leave room for more."""
FAREWELL = 0.5
"""Seconds in which the last output of a job that is over may still be read here."""
THREADS = 4

Chunks = list[tuple[str, str]]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="kinetic-log")


@dataclass(frozen=True)
class Budget:
    """That of one process."""

    lines: LineBudget
    requests: RequestBudget


class LiveLog:
    """One job's output.

    :param cursor: where an earlier life of the trigger stopped.
    :param pace: shortest time in seconds between two looks.
    """

    def __init__(self, ports: Ports, job_id: str, cursor: Cursor, budget: Budget, pace: float) -> None:
        self._ports, self.job_id, self._cursor, self._budget, self._pace = ports, job_id, cursor, budget, pace
        self._interval = pace
        self._due = time.monotonic()
        self._queued = False
        self._until: float | None = None
        self.reading: asyncio.Task[Chunks] | None = None
        """A look that is under way, or whose answer nobody has taken yet."""

    @property
    def due_in(self) -> float | None:
        """Seconds until :meth:`take` has something to do; None: not before something else happens."""
        if self._budget.requests.none or self.reading is not None:
            return None
        return max(0.0, self._due - time.monotonic())

    async def take(self, tail: Tail) -> Chunks:
        """What has been read behind the cursor, and begin to read on where it is this job's turn. Does not wait, but
        for a job that is over, and then not long.
        """
        if tail.last:
            return await self._last(tail)
        if self.reading is not None:
            return self._taken() if self.reading.done() else []
        if self._its_turn():
            self._begin(tail)
        return []

    async def close(self) -> None:
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.wait([self.reading])
            if not self.reading.cancelled():
                self.reading.exception()

    async def _last(self, tail: Tail) -> Chunks:
        now = time.monotonic()
        self._until = now + FAREWELL if self._until is None else self._until
        if self.reading is None and self._budget.requests.idle and self._budget.lines.open(self.job_id):
            self._budget.requests.turn()
            self._begin(tail)
        if self.reading is None or now >= self._until:
            return []
        await asyncio.wait([self.reading], timeout=self._until - now)
        return self._taken() if self.reading.done() else []

    def _its_turn(self) -> bool:
        now = time.monotonic()
        if self._budget.requests.none or now < self._due:
            return False
        if self._queued:
            self._queued = False
            return True
        if not self._budget.lines.open(self.job_id):
            self._due = now + self._pace
            return False
        self._due = self._budget.requests.turn()
        self._queued = self._due > now
        return not self._queued

    def _begin(self, tail: Tail) -> None:
        self.reading = asyncio.create_task(self._read(tail))

    async def _read(self, tail: Tail) -> Chunks:
        behind = replace(tail, cursor=tail.cursor or await self._cursor.load())
        return await asyncio.get_running_loop().run_in_executor(_threads(), behind.perform, self._ports)

    def _taken(self) -> Chunks:
        """:raises InfrastructureError: the store did not answer."""
        assert self.reading is not None
        reading, self.reading = self.reading, None
        self._interval = min(QUIET, 2 * self._interval)
        self._due = time.monotonic() + self._interval
        chunks = reading.result()
        if chunks:
            self._budget.requests.spend(len(chunks))
            self._interval = self._pace
            self._due = time.monotonic() + (0.0 if len(chunks) == CHUNKS_PER_LOOK else self._pace)
        return chunks
