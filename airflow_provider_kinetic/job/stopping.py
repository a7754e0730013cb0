"""Being asked to stop, as the process that runs the user's code sees it.

The supervisor hears SIGTERM first, whatever happens here: user code and JAX may install handlers of
their own, and a long call into C may keep Python from running any (``checkpointing`` 1.3). It makes
the file named by ``KINETIC_STOP_FILE`` and passes SIGTERM on; when most of the grace period is over it
sends :data:`END`, which ends user code that has not stopped by itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.children import spare_children

END = getattr(signal, "SIGRTMAX", signal.SIGUSR2)
"""A signal that nobody else uses, where the platform has such."""

Handler = Any


class StopRequest:
    """Installs the handlers of the worker; the previous SIGTERM handler is called after ours."""

    def __init__(self) -> None:
        self.heard = False
        self.armed = False

    def install(self, previous: Handler) -> None:
        """``previous`` is what stood there before the runner."""
        chained: Callable[[int, FrameType | None], Any] | None = previous if callable(previous) else None

        def note(number: int, frame: FrameType | None) -> None:
            self.heard = True
            if chained is not None:
                chained(number, frame)

        self.armed = True
        signal.signal(signal.SIGTERM, note)
        signal.signal(END, self._end)

        def restore() -> None:
            if signal.getsignal(signal.SIGTERM) is note:
                signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)

        spare_children(restore)

    def disarm(self) -> None:
        """The user's code is over: from now on a result is worth more than an early end."""
        self.armed = False

    def requested(self) -> bool:
        marker = os.environ.get(protocol.ENV_STOP_FILE)
        return self.heard or bool(marker and Path(marker).exists())

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise SystemExit(protocol.EXIT_PREEMPTED)
