"""One builder at a time, also across processes, also when one is killed.

The kernel drops an ``flock`` with its last holder, so nothing is left to clean up after ``kill -9``. The
descriptor is handed to the installer too: an installer that outlives its killed parent keeps the
lock, and nobody builds into the folder that it still writes to.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

_NOTE_BYTES = 200


def this_process() -> str:
    """Who holds a lock, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock file at ``path``; None when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def unlock(descriptor: int) -> None:
    """Give the lock back and close; explicitly, because a daemon that an installer left may hold a copy."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def held(path: Path) -> bool:
    """Whether a process holds the lock; False also when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def exclusive(path: Path, *, what: str, log: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock file at ``path``; yields its descriptor, for ``pass_fds`` of child processes.

    A caller that has to wait says so once through ``log``: for ``what``, and by whom it is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, _NOTE_BYTES, 0).decode(errors="replace") or "another process"
            log(f"waiting for {what} by {holder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, this_process().encode(), 0)
        yield descriptor
    finally:
        unlock(descriptor)
