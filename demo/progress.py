"""Lines for the person who waits."""

from __future__ import annotations

import signal
import time


class Progress:
    """Prints a line with the seconds since the start before it."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def __call__(self, line: str) -> None:
        print(f"[{self.seconds:4.0f} s] {line}", flush=True)


def stop_on_sigterm() -> None:
    """SIGTERM ends this process as Ctrl-C does, so that what it started is stopped as well."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
