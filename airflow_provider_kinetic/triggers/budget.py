"""One budget of log lines for all jobs that a triggerer observes.

Log records of triggers travel to the supervisor over one socket, synchronously; a chatty job could stall the
event loop for all others (``airflow`` 3.6). The budget never waits: a job that has shown more than its share shows
nothing until that is made up for, and what it did not show follows at a later look or in the worker.
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
