"""A real Airflow for the demo and the live tests: ``airflow standalone`` on free loopback ports.

Scheduler, triggerer, DAG processor and API server run as a user's would, only with shorter intervals
and everything they write under one folder. Whoever starts one also stops it, and nothing else: all
its processes are in a session of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import psutil

from demo.api import Api

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
USERNAME = "admin"


class StartupError(Exception):
    """Airflow ended early or did not become healthy in time; the message has the end of its log."""


class Standalone:
    """One Airflow that lives in ``home`` and runs the DAG files of ``dags``.

    A ``with`` block starts and stops it. ``env`` is added to the environment of every Airflow process; variables of
    another Airflow (``AIRFLOW*``) are not passed on. ``say`` takes lines of progress.
    """

    def __init__(
        self, home: Path, dags: Path, *, env: Mapping[str, str] | None = None, say: Callable[[str], None] = print
    ) -> None:
        self.home = home.resolve()
        self.log_file = self.home / "standalone.log"
        self.password = secrets.token_urlsafe(12)
        api_port, worker_log_port, trigger_log_port = _free_ports(3)
        self.base_url = f"http://127.0.0.1:{api_port}"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.home),
            **_settings(self.home, dags.resolve(), self.base_url),
            "AIRFLOW__API__PORT": str(api_port),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            **(env or {}),
        }
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Api | None = None

    @property
    def client(self) -> Api:
        """Signed in as :data:`USERNAME`."""
        if self._client is None:
            self._client = Api(self.base_url, USERNAME, self.password)
        return self._client

    def start(self, timeout: float = 240.0) -> Standalone:
        """Start it and wait until every component is healthy.

        :raises StartupError: it ended, or ``timeout`` seconds passed.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        _passwords(self.home).write_text(json.dumps({USERNAME: self.password}))
        _passwords(self.home).chmod(0o600)
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow", "standalone"],
                env=self.env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy(self._process, timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_healthy(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        started = time.monotonic()
        seen: set[str] = set()
        while True:
            seconds = time.monotonic() - started
            healthy = {name for name, status in self.client.health().items() if status == "healthy"}
            for name in COMPONENTS:
                if name in healthy - seen:
                    self._say(f"{name.replace('_', ' ')} is healthy after {seconds:.0f} s")
            seen |= healthy
            if healthy.issuperset(COMPONENTS):
                return
            if process.poll() is not None:
                raise StartupError(f"Airflow ended with exit code {process.returncode}.\n{self.log_tail()}")
            if seconds > timeout:
                raise StartupError(f"Airflow was not healthy within {timeout:.0f} s.\n{self.log_tail()}")
            time.sleep(0.5)

    def stop(self, grace: float = 8.0) -> None:
        """End all its processes: SIGTERM, at most ``grace`` seconds, SIGKILL. Fine to call twice."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is None:
            return
        processes = list(_family(self._process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, timeout=grace)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=grace)
        self._process.wait()
        self._process = None

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that its components wrote."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def __enter__(self) -> Standalone:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _settings(home: Path, dags: Path, base_url: str) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(home)),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__BASE_URL": base_url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # the default of 5 s fails tasks of a busy machine
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _passwords(home: Path) -> Path:
    return home / "passwords.json"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _family(pid: int) -> Iterator[psutil.Process]:
    """The process, what it started, and what those started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        yield from parent.children(recursive=True)
        yield parent
