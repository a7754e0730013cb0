"""How far a transfer of data is: one form of line in the task's log and in the job's output.

Short transfers say nothing. Longer ones say a line now and then, rarer as time goes on, and one at their end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST = 3.0
"""Seconds before the first line: what is done by then needs none."""
EVERY = 10.0
"""Seconds between the first lines. After some minutes a tenth of what has passed, at most :data:`RAREST`."""
RAREST = 60.0

_FILE = 64 * 1024
"""A file takes about as long as so many bytes more: of use for the time that is left, and no more exact than that."""
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True)
class Amount:
    """So many files with so many bytes."""

    files: int = 0
    bytes: int = 0

    @property
    def effort(self) -> int:
        return self.bytes + self.files * _FILE


def progress_line(what: str, done: Amount, total: Amount, rate: float, left: float | None) -> str:
    """``Uploading /data: 1.5 GiB of 4.0 GiB (37 %), 120 of 2,000 files, 85 MiB/s, 30 s left``.

    :param rate: bytes per second.
    :param left: seconds; None: it is not known.
    """
    share = min(100, 100 * done.bytes // total.bytes) if total.bytes else 100
    said = [
        f"{size_text(done.bytes)} of {size_text(total.bytes)} ({share} %)",
        f"{done.files:,} of {files_text(total.files)}",
        f"{size_text(rate)}/s",
    ]
    if left is not None:
        said.append(f"{time_text(left)} left")
    return f"{what}: {', '.join(said)}"


def end_line(what: str, done: Amount, seconds: float, rate: float) -> str:
    """``Uploading /data: done, 4.0 GiB, 2,000 files in 48 s, 85 MiB/s``."""
    return (
        f"{what}: done, {size_text(done.bytes)}, {files_text(done.files)} in {time_text(seconds)}, {size_text(rate)}/s"
    )


class Progress:
    """Counts what several threads do, and says a line when it is time for one.

    :param what: begins every line: ``Uploading /data/digits``.
    :param done: what was there before; no part of the rate.
    :param say: takes one line, from whichever thread has counted.
    """

    def __init__(
        self,
        what: str,
        total: Amount,
        say: Callable[[str], None],
        *,
        done: Amount = Amount(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what = what
        self.total = total
        self.done = done
        self._before = done
        self._say = say
        self._clock = clock
        self._start = clock()
        self._next = FIRST
        self._said = False
        self._lock = threading.Lock()

    def add(self, files: int = 0, bytes: int = 0) -> None:
        with self._lock:
            self.done = Amount(self.done.files + files, self.done.bytes + bytes)
        self.tick()

    def reached(self, done: Amount) -> None:
        """For who counts by itself."""
        with self._lock:
            self.done = done
        self.tick()

    def tick(self) -> None:
        """Say a line if one is due. Also for who waits and has nothing to count."""
        with self._lock:
            seconds = self._clock() - self._start
            if seconds < self._next:
                return
            self._next = seconds + min(RAREST, max(EVERY, seconds / 10))
            self._said = True
            done = self.done
        self._say(progress_line(self.what, done, self.total, self._rate(done, seconds), self._left(done, seconds)))

    def end(self) -> None:
        """The last line, if there was another one before it."""
        if self._said:
            seconds = self._clock() - self._start
            self._say(end_line(self.what, self.done, seconds, self._rate(self.done, seconds)))

    def _rate(self, done: Amount, seconds: float) -> float:
        return (done.bytes - self._before.bytes) / seconds if seconds > 0 else 0.0

    def _left(self, done: Amount, seconds: float) -> float | None:
        gained = done.effort - self._before.effort
        return seconds * (self.total.effort - done.effort) / gained if gained > 0 else None


def size_text(size: float) -> str:
    """Bytes for people, in powers of 1,024: ``512 B``, ``1.5 GiB``, ``320 MiB``."""
    if size < 1024:
        return f"{size:.0f} B"
    unit = -1
    while size >= 1023.5 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.1f} {_UNITS[unit]}" if size < 99.95 else f"{size:,.0f} {_UNITS[unit]}"


def files_text(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def time_text(seconds: float) -> str:
    """``45 s``, ``12 min 5 s``, ``3 h 20 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
