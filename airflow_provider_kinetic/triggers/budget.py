"""One budget of log lines for all jobs that a triggerer observes.

Log records of triggers travel to the supervisor over one socket, synchronously; a single chatty job
could stall the event loop for all others (``airflow`` 3.6). The budget never waits: while it is spent,
jobs simply show nothing, and what they did not show follows at a later look or in the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class LineBudget:
    """A token bucket that may run into debt by one reading.

    :param rate: lines per second.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._left = rate
        self._at = self._now()

    def _now(self) -> float:
        return self._clock()

    def open(self) -> bool:
        """Whether lines may be shown now."""
        now = self._now()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        return self._left > 0

    def spend(self, lines: int) -> None:
        self._left -= lines
