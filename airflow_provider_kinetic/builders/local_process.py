"""The process that builds an environment: nobody's child, so nobody's death or neglect reaches it.

It inherits the locked descriptor of its tag from whoever started it, so that there is no moment in which a second one
could begin. It ends in one of three ways: it says how, it is killed and the lock says so, or the machine is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from airflow_provider_kinetic.builders.environments import Run, find_installer, without_secrets
from airflow_provider_kinetic.builders.local_record import BuildRecord, Order
from airflow_provider_kinetic.builders.local_seal import remove, seal
from airflow_provider_kinetic.builders.locks import unlock
from airflow_provider_kinetic.model.errors import ImageError
from airflow_provider_kinetic.model.images import BuildState

_CODE = f"import sys; sys.path.append(sys.argv[1]); from {__name__} import main; main(*sys.argv[2:])"
_DETACH = '"$@" &'
"""Run by ``sh``, which ends at once."""
_POLL = 0.1
"""Seconds between two looks whether the build is to stop."""


class Stopped(BaseException):
    """Asked to stop, or its time is over. Not an ``Exception``: nothing on the way may take it for one."""

    def __init__(self, state: BuildState, message: str) -> None:
        super().__init__(message)
        self.state = state


def spawn(record: BuildRecord, lock: int) -> None:
    """Start the process, which inherits the lock; the caller closes its own descriptor without unlocking.

    :raises OSError: no process can be started.
    """
    package = Path(__file__).parents[2]
    arguments = [str(package), str(record.root), record.tag, str(record.number), str(lock)]
    with record.log.open("ab") as log:
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", sys.executable, "-P", "-c", _CODE, *arguments],
            check=True,
            env=without_secrets(os.environ),
            cwd=record.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,
        )


def main(root: str, tag: str, number: str, lock: str) -> None:
    """Build, write down how it ended, give back the lock."""
    record, descriptor = BuildRecord(Path(root), tag, int(number)), int(lock)
    os.set_inheritable(descriptor, False)
    try:
        state, message = _outcome(record, descriptor)
        if message:
            _log(message)
        record.end(state, message)
    finally:
        unlock(descriptor)


def _outcome(record: BuildRecord, lock: int) -> tuple[BuildState, str]:
    order = record.order()
    assert order is not None
    try:
        with _interruptions(record, order.timeout):
            _build(record, order, lock)
    except Stopped as stopped:
        return stopped.state, str(stopped)
    except ImageError as failed:
        return BuildState.FAILED, failed.summary
    except OSError as error:
        return BuildState.FAILED, f"{record.environment} cannot be written: {error.strerror or error}"
    return BuildState.SUCCEEDED, ""


def _build(record: BuildRecord, order: Order, lock: int) -> None:
    environment = record.environment
    started = time.monotonic()
    remove(environment)  # what a killed build left
    _log(f"building {record.tag} in {environment}")
    try:
        run = Run(log=_log, lock=lock, cwd=record.root)
        installer = find_installer(record.root / ".tools", run)
        installer.fill(environment, order.packages, order.request.requirements, run)
        seconds = time.monotonic() - started
        seal(environment, order, installer.name, seconds)
    except BaseException:
        remove(environment)
        raise
    _log(f"built {record.tag} in {seconds:.1f} s with {installer.name}")


def _log(line: str) -> None:
    print(line, flush=True)


@contextlib.contextmanager
def _interruptions(record: BuildRecord, timeout: float) -> Iterator[None]:
    """A request to stop, SIGTERM and the end of its time raise :class:`Stopped` in the main thread, once."""
    armed = [True]

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if not armed:
            return
        armed.clear()
        if number == signal.SIGALRM:
            raise Stopped(BuildState.TIMED_OUT, f"The build did not end within {timeout:g} s")
        raise Stopped(BuildState.CANCELLED, "The build was stopped")

    def watch() -> None:
        while armed and not record.stop_asked:
            time.sleep(_POLL)
        if armed:
            os.kill(os.getpid(), signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, interrupt)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
