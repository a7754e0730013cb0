"""Full garbage collections of a triggerer that observes thousands of jobs.

A full collection of Python visits every object of the process, and for its length nobody's trigger runs. Airflow's own
loop makes some tuples for each trigger each second, which brings one about every minute: a fifth of a second at ten
thousand triggers that do nothing, and half a second with what ours hold. So in a process with that many of our jobs,
what has outlived a full collection is set aside (``gc.freeze``), and the next one visits what is new. Once an hour all
is visited again: an old object that is only kept by a cycle is kept for an hour at most.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

EVERY = 3600.0
"""Seconds between two collections that visit everything."""
FULL = 2
"""The oldest generation."""


class Heap:
    """The objects of one process, and how many jobs it observes.

    :param clock: in seconds, by which the hour passes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs = 0
        self._whole_at: float | None = None
        """When all was visited last; None while nothing is set aside."""

    @contextmanager
    def observing(self, at: int) -> Iterator[None]:
        """One more job.

        :param at: the number of jobs from which on survivors are set aside; 0: never. Below half of it that ends.
        """
        self._jobs += 1
        if at and self._jobs >= at and self._whole_at is None:
            self._begin()
        try:
            yield
        finally:
            self._jobs -= 1
            if self._whole_at is not None and self._jobs < at / 2:
                self._end()

    def _begin(self) -> None:
        self._whole_at = self._clock()
        gc.callbacks.append(self._collected)
        log.info("%d jobs are observed here: garbage collections leave out what is old", self._jobs)

    def _end(self) -> None:
        gc.callbacks.remove(self._collected)
        gc.unfreeze()
        self._whole_at = None

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        """Python calls this before (``start``) and after (``stop``) each collection."""
        if info["generation"] != FULL or self._whole_at is None:
            return
        if phase == "stop":
            gc.freeze()
        elif self._clock() - self._whole_at >= EVERY:
            self._whole_at = self._clock()
            gc.unfreeze()


HEAP = Heap()
"""That of this process."""
