"""Sleeping until something happens."""

from __future__ import annotations

import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # not from typing: its import would cost every job 5 ms
    from types import FrameType


class Wakeups:
    """Sleep that ends at a signal; SIGTERM is remembered, hang-ups and interrupts of a terminal mean nothing here."""

    def __init__(self) -> None:
        self.terminated = False
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # Handlers, not SIG_IGN: the job must not inherit what the node ignores.
        for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, self.terminate)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.terminated = True

    def sleep(self, seconds: float) -> None:
        ready, _, _ = select.select([self.reader], [], [], max(0.0, seconds))
        if ready:
            os.read(self.reader, 4096)
