"""A container as a process: output captured, SIGTERM to the first process only, everything ends with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from kube.container_log import ContainerLog


class StartError(Exception):
    """The process could not be started; the message is the runtime's."""


class Container:
    """Starts at once; StartError where there is no such program or its arguments are too long.

    Differs from a real container: the first process is not process 1, so SIGTERM without a handler ends it.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path, log: ContainerLog) -> None:
        self.log = log
        self.oom = False
        program = shutil.which(argv[0], path=env.get("PATH")) if argv else None
        if program is None:
            raise StartError(f'exec: "{argv[0] if argv else ""}": executable file not found in $PATH')
        try:
            self._process = subprocess.Popen(
                [program, *argv[1:]],
                env=dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"exec {argv[0]}: {(error.strerror or str(error)).lower()}") from error
        self.pid = self._process.pid
        self._lock = threading.Lock()
        self._ended = False
        self._pump = threading.Thread(target=self._read, name=f"log-{self.pid}", daemon=True)
        self._pump.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, contextlib.suppress(ValueError):
            for line in output:
                self.log.write(line)

    def wait(self) -> int:
        """The exit code as a container's: 128 + signal where a signal ended it."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.signal(signal.SIGKILL, group=True)
        with self._lock:
            code = self._process.wait()
            self._ended = True
        self._pump.join(5)
        self.log.close()
        return 128 - code if code < 0 else code

    def signal(self, number: int, *, group: bool = False) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._ended:
                (os.killpg if group else os.kill)(self.pid, number)

    def kill(self, *, oom: bool = False) -> None:
        self.oom = self.oom or oom
        self.signal(signal.SIGKILL, group=True)
