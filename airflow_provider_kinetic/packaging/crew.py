"""Threads that share the work on many files.

How many are best depends on what they wait for. A disk in this machine keeps a thread for each core busy, a network
needs dozens in flight, and too many threads of Python only get in each other's way: so more of them start for as long
as this process waits for something else than a processor.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

_TICK_SECONDS = 0.05

Work = Callable[[], None]


class Crew:
    """:param most: threads at one time.
    :param cores: that the work can use at once; 1 for what holds Python's lock.
    :param busy: seconds of processor time that the work has used so far.
    """

    def __init__(self, name: str, *, most: int, cores: int, busy: Callable[[], float] = time.process_time) -> None:
        self._name = name
        self._most = most
        self._idle = _Idle(cores, busy)
        self.stopped = threading.Event()
        """To be looked at by the work, as often as possible."""

    def run(self, first: Iterable[Work], more: Callable[[], Work | None], tick: Work) -> None:
        """Until all work has returned, or one raises, which stops the others.

        A task that is killed raises in this thread: then the others end by themselves.

        :param first: one thread for each.
        :param more: for one thread more; None: not now.
        :param tick: called in this thread now and then.
        """
        pool = ThreadPoolExecutor(self._most, thread_name_prefix=self._name)
        try:
            running = {pool.submit(work) for work in first}
            while running:
                done, running = wait(running, _TICK_SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if len(running) < self._most and self._idle.processors(len(running)) and (work := more()) is not None:
                    running.add(pool.submit(work))
                tick()
        finally:
            self.stopped.set()
            pool.shutdown(wait=isinstance(sys.exception(), (Exception, type(None))), cancel_futures=True)


class _Idle:
    """Whether the work waits rather than computes, or would if the machine had not other things to do."""

    def __init__(self, cores: int, busy: Callable[[], float]) -> None:
        self._cores = cores
        self._busy = busy
        self._last = self._now()

    def processors(self, threads: int) -> bool:
        """Since the last call the threads wanted less than a quarter of the processor time that there could be."""
        last, self._last = self._last, self._now()
        seconds, busy, queued = (max(0.0, now - before) for now, before in zip(self._last, last, strict=True))
        return busy + queued < seconds / 4 * min(threads, self._cores)

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), self._busy(), _queued()


def _queued() -> float:
    """Seconds that this process's threads have been ready and got no processor; 0 where the system does not tell."""
    total = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 (names are enough)
            with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/schedstat") as file:  # noqa: PTH123
                total += int(file.read().split()[1])
    return total / 1e9
