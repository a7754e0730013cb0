"""Being asked to stop, as the user's training loop sees it (``checkpointing`` 3.8).

In a job the supervisor heard SIGTERM and left a mark with the moment of it, by a clock that nobody sets; here that mark
is read. In a script there is no supervisor, so the signal is taken here, once, for all trials of the process: a second
one does what it would have done before.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.children import spare_children
from airflow_provider_kinetic.job.request import DEFAULT_GRACE
from airflow_provider_kinetic.job.supervisor import END_AFTER
from airflow_provider_kinetic.job.training.hosts import jax_listens


class Notice:
    """Of one trial. ``environ`` is that of the job."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        marker = environ.get(protocol.ENV_STOP_FILE)
        self._marker = Path(marker) if marker else None
        self._grace = _seconds(environ.get(protocol.ENV_STOP_GRACE))
        self._since: float | None = None
        self.listens = False
        """A stop will be heard."""

    def listen(self) -> None:
        """Outside of a job: take the next SIGTERM. Only the main thread may."""
        self.listens = self._marker is not None or jax_listens()
        if not self.listens and threading.current_thread() is threading.main_thread():
            _signals.tell(self)
            self.listens = True

    def ignore(self) -> None:
        """SIGTERM does again what it did before, once no trial listens, unless somebody else has taken it meanwhile."""
        _signals.forget(self)

    def heard(self) -> bool:
        """On this machine."""
        if self._since is None and self._marker is not None:
            with contextlib.suppress(FileNotFoundError):
                self._since = _moment(self._marker.read_text())
        return self._since is not None

    def hear(self) -> None:
        """It has just come."""
        self._since = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the user's code is ended; infinite while nobody asks for it."""
        if not self.heard() or self._since is None:
            return math.inf
        return max(0.0, self._since + self._grace * END_AFTER - time.monotonic())


class _Signals:
    """SIGTERM of this process, while any of its trials listens."""

    def __init__(self) -> None:
        self._listening: list[Notice] = []
        self._previous: Any = signal.SIG_DFL

    def tell(self, notice: Notice) -> None:
        self._listening.append(notice)
        if signal.getsignal(signal.SIGTERM) != self._hear:
            self._previous = signal.signal(signal.SIGTERM, self._hear) or signal.SIG_DFL

    def forget(self, *notices: Notice) -> None:
        self._listening = [each for each in self._listening if each not in notices]
        here = threading.current_thread() is threading.main_thread()
        if here and not self._listening and signal.getsignal(signal.SIGTERM) == self._hear:
            signal.signal(signal.SIGTERM, self._previous)

    def forget_all(self) -> None:
        self.forget(*self._listening)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        told = self._listening
        for notice in told:
            notice.hear()
        self.forget_all()
        if not told:  # the last one was closed by a thread, which may not give the signal back
            signal.raise_signal(number)


_signals = _Signals()
spare_children(_signals.forget_all)


def _moment(text: str) -> float:
    """Now, where the mark says nothing else."""
    now = time.monotonic()
    try:
        return min(now, float(text))
    except ValueError:
        return now


def _seconds(text: str | None) -> float:
    try:
        return float(text or DEFAULT_GRACE)
    except ValueError:
        return DEFAULT_GRACE
