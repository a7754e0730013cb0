"""Kill points: every border that a task's process crosses, each with a name.

A crossing is a call of a port (store, cluster, builder) or a request to the Execution API; each has a side, ``before``
(nothing has happened yet) and ``after`` (it has happened and the caller does not know). Inside the ports every change
on disk can be one too, where ``after`` is the same as before the next. A process with a tripwire writes down what it
crosses and sends itself SIGKILL at the one that it was told, so that nothing runs after it: no ``finally``, no signal
handler, no exit hook. Only the first time counts: a poll comes by again and again.
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

OUTSIDE = "a thread"

CHANGES = {"os.link": 1, "os.mkdir": 0, "os.remove": 0, "os.rename": 1, "os.rmdir": 0, "os.symlink": 1}
"""Audit events that change the disk, with the position of the path that changes."""


class Tripwire:
    """Writes crossings to ``journal``, one a line, and ends this process at ``kill_at`` (None: never).

    ``leg`` is the first word of every crossing.
    """

    def __init__(self, journal: Path, kill_at: str | None = None, *, leg: str = "") -> None:
        self.kill_at = kill_at
        self.leg = leg
        self._journal = journal
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def before(self, name: str) -> None:
        self._cross(f"before {name}")

    def after(self, name: str) -> None:
        self._cross(f"after {name}")

    def _cross(self, crossing: str) -> None:
        crossing = f"{self.leg} {crossing}"
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

    def watch_disk(self, folder: Path) -> None:
        """From now on every change below ``folder``, and every program that is started, crosses this tripwire."""
        prefix = f"{folder}/"

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event == "subprocess.Popen" and (caller := _caller(sys._getframe(1))) != OUTSIDE:
                self._cross(f"before starting a program in {caller}")
            elif event in CHANGES and (path := _absolute(args, CHANGES[event])).startswith(prefix):
                self._cross(f"before {event} {_named(path)} in {_caller(sys._getframe(1))}")

        sys.addaudithook(hook)


def _absolute(args: tuple[Any, ...], position: int) -> str:
    """The path of an audit event; ``shutil.rmtree`` gives names relative to an open folder."""
    path, folder = Path(os.fsdecode(args[position])), args[-1]
    return str(path if path.is_absolute() or folder < 0 else Path(f"/proc/self/fd/{folder}").readlink() / path)


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
    """The object that a store's call is about."""
    return _named(next((arg for arg in args if isinstance(arg, str) and "://" in arg), ""))


def _named(path: str) -> str:
    """Its last name, the same one for every job, process and random word."""
    name = path.rstrip("/").rpartition("/")[2] + ("/" if path.endswith("/") else "")
    return re.sub(r"(?<=tmp-).*|[0-9a-f]{8,}|\d+", "…", name)


def _caller(frame: FrameType | None) -> str:
    """``module.function`` of whoever calls, inside our package; a thread's own frames say nothing."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("airflow_provider_kinetic."):
            return f"{module.rpartition('.')[2]}.{frame.f_code.co_name}"
        frame = frame.f_back
    return OUTSIDE
