"""Kill points: every border that a task's process crosses, each with a name.

A crossing is a call of a port (store, cluster, builder) or a request to the Execution API; each has a side, ``before``
(nothing has happened yet) and ``after`` (it has happened and the caller does not know). A process with a tripwire
writes down what it crosses and sends itself SIGKILL at the one that it was told, so that nothing runs after
it: no ``finally``, no signal handler, no exit hook. Only the first time counts: a poll comes by again and again.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.target import Target


class Tripwire:
    """Writes crossings to ``journal``, one a line, and ends this process at ``kill_at`` (None: never)."""

    def __init__(self, journal: Path, kill_at: str | None = None) -> None:
        self.kill_at = kill_at
        self._journal = journal
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def before(self, name: str) -> None:
        self._cross(f"before {name}")

    def after(self, name: str) -> None:
        self._cross(f"after {name}")

    def _cross(self, crossing: str) -> None:
        with self._lock:
            if crossing in self._seen:
                return
            self._seen.add(crossing)
            with self._journal.open("a") as out:
                out.write(crossing + "\n")
            if crossing == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch_local_platform(self) -> None:
        """From now on every port of the local platform in this process carries this tripwire."""
        real: Callable[[Target], Ports] = platforms.PLATFORMS["local"]

        def opened(target: Target) -> Ports:
            ports = real(target)
            names = ("cluster", "store", "builder")
            return Ports(**{name: Watched(getattr(ports, name), name, self) for name in names})  # type: ignore[arg-type]

        platforms.PLATFORMS["local"] = opened


class Watched:
    """A port whose every call crosses the wire twice."""

    def __init__(self, port: Any, name: str, wire: Tripwire) -> None:
        self._port, self._name, self._wire = port, name, wire

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._port, attribute)
        if not callable(value):
            return value

        @wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            words = [f"{self._name}.{attribute}", _subject(args), f"in {_caller(sys._getframe(1))}"]
            name = " ".join(word for word in words if word)
            self._wire.before(name)
            result = value(*args, **kwargs)
            self._wire.after(name)
            return result

        return call


def _subject(args: tuple[Any, ...]) -> str:
    """The object that a store's call is about, by its last name; every job and environment is called the same."""
    uri = next((arg for arg in args if isinstance(arg, str) and "://" in arg), "")
    name = uri.rstrip("/").rpartition("/")[2] + ("/" if uri.endswith("/") else "")
    return re.sub(r"[0-9a-f]{16}", "…", name)


def _caller(frame: FrameType | None) -> str:
    """``module.function`` of whoever calls, inside our package; a thread's own frames say nothing."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("airflow_provider_kinetic."):
            return f"{module.rpartition('.')[2]}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "a thread"
