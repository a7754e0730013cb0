"""The process that the platform knows: it watches the worker, which runs the user's code.

Two processes because everything that must happen when the user's code dies hard, hangs in C or ignores
signals cannot be done by the process that does so: the last lines of output, the end record, the exit
code, the reaction to SIGTERM. In a container it is also the first process, which has to collect orphans.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.job.stall import StallWatch, show
from airflow_provider_kinetic.job.stopping import END

END_AFTER = 0.8
"""Fraction of the grace period after which the user's code is ended by an exception."""
KILL_AFTER = 0.95
"""Fraction after which the worker is killed, so that the end can still be written down."""
DRAIN = 2.0
"""Longest time in seconds spent on output of processes that outlive the worker."""


class Signals:
    """Signals as bytes in a pipe, from the first moment on; both ends stay open as long as the process lives."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        for end in (self.reader, self.writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        self.previous: dict[int, Any] = {
            number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT)
        }

    def read(self) -> bytes:
        try:
            return os.read(self.reader, 4096)
        except BlockingIOError:
            return b""

    def leave_to_child(self) -> None:
        """In the child: everything as it was before, except SIGTERM, which the caller handles."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, self.previous[number])
        os.close(self.reader)
        os.close(self.writer)


@dataclass(frozen=True)
class Ending:
    """How the worker ended. ``signal`` is 0 unless one killed it; ``stopped``: somebody had asked for it."""

    code: int
    signal: int
    stopped: bool


class Stop:
    """The steps of a stop, each due at a fraction of the grace period."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.begun_at: float | None = None
        self.steps: list[tuple[float, int]] = []

    def begin(self) -> bool:
        """True the first time."""
        if self.begun_at is not None:
            return False
        self.begun_at = time.monotonic()
        self.steps = [
            (self.begun_at, signal.SIGTERM),
            (self.begun_at + self.grace * END_AFTER, END),
            (self.begun_at + self.grace * KILL_AFTER, signal.SIGKILL),
        ]
        return True

    def wait(self) -> float | None:
        """Seconds until the next step; None when nothing is planned."""
        return max(0.0, self.steps[0][0] - time.monotonic()) if self.steps else None

    def act(self, pid: int) -> None:
        while self.steps and self.steps[0][0] <= time.monotonic():
            os.kill(pid, self.steps.pop(0)[1])

    def left(self, most: float) -> float:
        """Seconds that an end may take."""
        if self.begun_at is None:
            return most
        return min(most, max(0.5, self.begun_at + self.grace - time.monotonic()))


class Supervisor:
    """Watches one worker: output, signals, end."""

    def __init__(
        self,
        signals: Signals,
        stop: Stop,
        on_output: Callable[[bytes], None],
        on_stop: Callable[[], None],
        stall: StallWatch | None = None,
    ) -> None:
        self.signals = signals
        self.stop = stop
        self.stall = stall
        self.on_output = on_output
        self.on_stop = on_stop

    def watch(self, pid: int, output: int) -> Ending:
        """Until the worker has ended and its last output is passed on."""
        sources = [output, self.signals.reader]
        while True:
            ready, _, _ = select.select(sources, [], [], self._wait())
            if output in ready and not self._pass_on(output):
                sources.remove(output)
            if self.signals.reader in ready and signal.SIGTERM in self.signals.read() and self.stop.begin():
                self.on_stop()
            status = _reap(pid)
            if status is not None:
                self._drain(output)
                return self._ending(status)
            if self.stall is not None and self.stop.begun_at is None and self.stall.look():
                show(pid)
                self.stop.begin()
                self.on_stop()
            self.stop.act(pid)

    def _wait(self) -> float | None:
        if self.stall is None or self.stop.begun_at is not None:
            return self.stop.wait()
        return self.stall.wait()

    def _pass_on(self, output: int) -> bool:
        """False at the end of the stream."""
        data = os.read(output, 65536)
        if data:
            self.on_output(data)
        return bool(data)

    def _drain(self, output: int) -> None:
        os.set_blocking(output, False)
        deadline = time.monotonic() + DRAIN
        with contextlib.suppress(BlockingIOError):
            while time.monotonic() < deadline and self._pass_on(output):
                pass

    def _ending(self, status: int) -> Ending:
        stopped = self.stop.begun_at is not None
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return Ending(128 + number, number, stopped)
        return Ending(os.WEXITSTATUS(status), 0, stopped)


class Mirror:
    """The output that the platform keeps; when it takes no more (a full disk), the job goes on without it."""

    def __init__(self, descriptor: int = 1) -> None:
        self.descriptor = descriptor
        self.broken = False

    def write(self, data: bytes) -> None:
        while data and not self.broken:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                select.select([], [self.descriptor], [])
            except OSError:
                self.broken = True


def _reap(pid: int) -> int | None:
    """Collect whatever ended; the status of ``pid`` once it has."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended == pid:
            return status
        if ended == 0:
            return None
