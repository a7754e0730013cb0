"""What all jobs that a triggerer observes may cost together for the sake of their output.

Log records of triggers travel to the supervisor over one socket, synchronously; a chatty job could stall the
event loop for all others (``airflow`` 3.6). And a thousand jobs whose output is looked for every few seconds would
be hundreds of requests a second to the store, nearly all for nothing. Neither budget ever blocks: who has to wait is
told until when.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class LineBudget:
    """Every job may run into debt by one reading; all jobs in debt share the rate, the others are not held up.

    :param rate: lines per second.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._debts: dict[str, float] = {}
        self._at = self._now()

    def _now(self) -> float:
        return self._clock()

    def open(self, job_id: str) -> bool:
        """Whether lines of this job may be shown now."""
        now = self._now()
        share = (now - self._at) * self._rate / max(1, len(self._debts))
        self._debts = {job: debt - share for job, debt in self._debts.items() if debt > share}
        self._at = now
        return job_id not in self._debts

    def spend(self, job_id: str, lines: int) -> None:
        self._debts[job_id] = self._debts.get(job_id, 0.0) + lines


class RequestBudget:
    """Looks one after the other, first come first served; every job stands in the queue once at most.

    :param rate: requests per second; 0: none at all.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = 1 / rate if rate > 0 else float("inf")
        self._clock = clock
        self._free = 0.0

    @property
    def none(self) -> bool:
        return self._every == float("inf")

    @property
    def idle(self) -> bool:
        """Nobody waits."""
        return not self.none and self._free <= self._clock()

    def turn(self) -> float:
        """When the caller may make one request, by the clock; its place is taken."""
        at = max(self._clock(), self._free)
        self._free = at + self._every
        return at

    def spend(self, requests: int) -> None:
        """So many more were made than the one of the turn."""
        self._free += requests * self._every
