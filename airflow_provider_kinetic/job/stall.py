"""Training that hangs, found by who is beside it (``checkpointing`` 3.11).

A collective that waits for a lost host, a deadlocked loader, a call into C that never returns: the process lives and
nothing happens, for as long as nobody looks. The process that trains leaves a mark whenever it got on; its supervisor,
which hangs with nothing, looks at the mark. What is counted is the time that the supervisor has lived through, so that
neither a clock that jumps nor a machine that slept makes a job stall.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from airflow_provider_kinetic.job import phases, protocol

EVERY = 1.0
"""Seconds between two looks, at most."""
SAVING = 1800.0
"""So many seconds a save that is on its way counts as getting on."""
SHOW = getattr(signal, "SIGRTMAX", signal.SIGUSR2 + 1) - 1
"""A signal that nobody else uses: the process writes where it is, also from within C."""

Sight = tuple[Optional[int], Optional[int]]


class Pulse:
    """In the process that trains: marks in a file that it got on. Logging pays nothing for it.

    :param seen: what changes when it gets on. It is called from a thread.
    :param saving: whether a checkpoint is on its way.
    :param most: so many seconds that counts.
    """

    def __init__(
        self, file: Path, timeout: float, seen: Callable[[], object], saving: Callable[[], bool], most: float = SAVING
    ) -> None:
        self._file = file
        self._every = _pause(timeout)
        self._seen = seen
        self._saving = saving
        self._most = most
        self._closing = threading.Event()

    @classmethod
    def of(cls, environ: Mapping[str, str], seen: Callable[[], object], saving: Callable[[], bool]) -> Pulse | None:
        """Begun; None where nobody would look."""
        file, timeout = environ.get(protocol.ENV_PULSE), environ.get(protocol.ENV_STALL_TIMEOUT)
        if not file or not timeout:
            return None
        pulse = cls(Path(file), float(timeout), seen, saving)
        pulse.start()
        return pulse

    def start(self) -> None:
        threading.Thread(target=self._run, name="kinetic-pulse", daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def _run(self) -> None:
        before, begun = self._seen(), math.inf
        while not self._closing.wait(self._every):
            now, clock = self._seen(), time.monotonic()
            saves = self._saving()
            begun = min(begun, clock) if saves else math.inf
            if now != before or (saves and clock - begun < self._most):
                with contextlib.suppress(OSError):
                    self._file.touch()
            before = now


class StallWatch:
    """In the supervisor. Only while the function runs is it expected to get on.

    :param timeout: seconds without progress after which it has stalled.
    """

    def __init__(self, timeout: float, phase: Path, pulse: Path) -> None:
        self.timeout = timeout
        self._phase = phase
        self._pulse = pulse
        self._sight: Sight = (None, None)
        self._looked = time.monotonic()
        self._idle = 0.0
        self.stalled = False

    def wait(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._looked + _pause(self.timeout) - time.monotonic())

    def look(self) -> bool:
        """True once: it has just been found to have stalled."""
        if self.stalled or self.wait() > 0:
            return False
        passed, self._looked = time.monotonic() - self._looked, time.monotonic()
        sight = (_changed(self._phase), _changed(self._pulse))
        idle = sight == self._sight and self._executes()
        self._idle = self._idle + min(passed, 2 * _pause(self.timeout)) if idle else 0.0
        self._sight = sight
        self.stalled = self._idle >= self.timeout
        return self.stalled

    def _executes(self) -> bool:
        with contextlib.suppress(OSError):
            return self._phase.read_text() == phases.EXECUTE
        return False

    @property
    def reason(self) -> str:
        return f"no step, no progress and no checkpoint for {self.timeout:g} s (stall_timeout)"


def show_on_request() -> None:
    """In the process that trains: let :func:`show` have it write the stacks of all its threads."""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not everywhere
        faulthandler.register(SHOW, file=2, all_threads=True)


def show(pid: int) -> None:
    """Have a process that called :func:`show_on_request` write where it is."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, SHOW)


def _pause(timeout: float) -> float:
    return min(EVERY, timeout / 4)


def _changed(file: Path) -> Any:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None
