"""Two that do the same work in turns, and what one may need beside the other."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 1 << 20
LATENCY = 0.03
"""Seconds that every request waits."""
LIMIT_CPU = 1.5
"""Seconds of this process for 1 GB that is sent or fetched, hashed."""
CONNECTIONS = 16
"""Of either."""
LARGE = 100 * MEBIBYTE
"""Bytes of a case from which on processor time is measured: in smaller ones requests take it."""


class Outcome(NamedTuple):
    good: bool
    missed: bool = False
    """Its wall, which is not judged."""


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Series:
    """What one of two needed, each time."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def add(self, work: Callable[[], object]) -> None:
        before = time.process_time()
        self.wall.append(seconds(work))
        self.cpu.append(time.process_time() - before)

    @property
    def best(self) -> float:
        return min(self.wall[1:])

    def medians(self) -> tuple[float, float]:
        """The first one made the connections, and does not count."""
        return statistics.median(self.wall[1:]), statistics.median(self.cpu[1:])


class Race:
    """Ours and the peer, in turns, with so many bytes in each.

    At most ``limit`` times the peer's time, and ``trips`` round trips beside. The wall of a ``hurried`` one with much
    data is told and not judged where its connections are not limited, or carry together what takes more processors than
    there are by ``LIMIT_CPU``: then the digest waits for processors, and the server of this machine does, too. Nor are
    its round trips, among which parts come that were long on their way. All else is judged always.
    """

    def __init__(
        self, title: str, files: Sequence[Path], rate: float, limit: float, trips: int, hurried: bool = False
    ) -> None:
        self._title = title + (f", {rate / 1e6:.0f} MB/s" if rate else ", no limit")
        self._bytes = sum(path.stat().st_size for path in files)
        enough = 0 < rate * CONNECTIONS / 1e9 * LIMIT_CPU <= len(os.sched_getaffinity(0))
        self._small = self._bytes < LARGE
        self._countable = self._small or not hurried
        self._judged = self._countable or enough
        self._limit, self._trips = limit, trips
        self.ours, self.raw = Series(), Series()

    def told(self, ours_trips: int, raw_trips: int) -> Outcome:
        (ours, cpu), (raw, raw_cpu) = self.ours.medians(), self.raw.medians()
        most = self._limit * raw + self._trips * LATENCY
        beside = max(ours_trips - raw_trips, 0)
        counted = self._limit * raw + min(beside, self._trips) * LATENCY
        each, raw_each = cpu * 1e9 / self._bytes, raw_cpu * 1e9 / self._bytes
        in_time, frugal = ours <= most, self._small or each <= LIMIT_CPU
        few = beside <= self._trips or not self._countable
        verdict = ("" if self._judged else "not judged, ") + ("met" if in_time else "MISSED")
        print(
            f"  {self._title:37} {ours:5.3f} s (best {self.ours.best:5.3f}), "
            f"raw {raw:5.3f} s (best {self.raw.best:5.3f}), "
            f"{ours / raw:4.2f} ×, at most {most:5.3f} s: {verdict};  "
            f"round trips {ours_trips} and {raw_trips}{'' if few else ' MISSED'}"
            f"{f', which are worth {counted:5.3f} s' if self._trips else ''};  "
            f"CPU/GB {each:4.2f} s and {raw_each:4.2f} s{'' if frugal else ' MISSED'};  load {os.getloadavg()[0]:.0f}",
            flush=True,
        )
        return Outcome(few and frugal and (in_time or not self._judged), not self._judged and not in_time)
