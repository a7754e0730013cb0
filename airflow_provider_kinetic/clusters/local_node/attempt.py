"""One process of a job: start, SIGTERM, grace, SIGKILL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:  # not from typing: its import would cost every job 5 ms
    from collections.abc import Callable


class Attempt:
    """One process of the job with everything that it starts, in a session of its own."""

    def __init__(self, argv: list[str], env: dict[str, str], scratch: Path, output: Path) -> None:
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                env=env,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self.scratch = scratch
        self.cause = ""
        """Why it was told to stop: ``delete``, ``shutdown``, ``deadline``, ``preempt`` or not at all."""
        self.kill_at: float | None = None

    def stop(self, cause: str, grace: float) -> None:
        """SIGTERM now, SIGKILL after ``grace`` seconds (0: at once). Asked again, the shorter grace counts."""
        self.cause = cause
        if grace <= 0:
            self.signal(signal.SIGKILL)
        elif self.kill_at is None:
            self.signal(signal.SIGTERM)
        kill_at = time.monotonic() + grace
        self.kill_at = kill_at if self.kill_at is None else min(kill_at, self.kill_at)

    def watch(self) -> int | None:
        """How the process ended (``Popen.returncode``), None while it runs."""
        code = self.process.poll()
        if code is not None:
            self.signal(signal.SIGKILL)  # what it left behind ends with it, as in a container
            shutil.rmtree(self.scratch, ignore_errors=True)
        elif self.kill_at is not None and time.monotonic() >= self.kill_at:
            self.signal(signal.SIGKILL)
        return code

    def signal(self, number: int) -> None:
        """As in a container: what can be heeded goes to the first process alone, SIGKILL to all."""
        send = os.killpg if number == signal.SIGKILL else os.kill
        try:
            send(self.process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says PermissionError for a group of zombies
            return


def die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the job: ask the kernel to be killed when the node is (Linux only)."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    node = os.getpid()

    def in_the_child() -> None:
        prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != node:
            os._exit(1)

    return in_the_child
