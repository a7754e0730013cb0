"""Workers and triggerers that are processes of their own and can be killed.

Each is forked from a server that has Airflow imported already, reads the installation from its file as a worker asks
its server, loads the DAG file anew, runs one leg of one try and ends. ``Theatre.play`` is the scheduler: it goes on
until the task has ended, with a new process for every leg.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from installation import Installation, TaskKey, TaskRow

PRELOAD = [
    "pytest",
    "airflow.executors.workloads.task",
    "airflow.sdk.api.client",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.serde",
    "airflow.triggers.base",
    "airflow_provider_kinetic.hooks.kinetic",
]
NO_WAITING = {"AIRFLOW__KINETIC__MIN_DWELL": "0", "AIRFLOW__KINETIC__POLL_INTERVAL": "0.1"}
"""No scheduler is there that a quick trigger could race (``airflow`` 0.5)."""

DONE = "done"
PATIENCE = 60.0
"""Seconds until a leg that does not end counts as hanging."""


@dataclass(frozen=True)
class Leg:
    """What one process does: ``start`` or ``resume`` (a worker's legs) or ``watch`` (a triggerer's)."""

    kind: str
    dag_file: Path
    installation: Path
    key: TaskKey
    folder: Path
    """Where the process writes ``crossings`` and its output."""
    kill_at: str | None = None
    disk: Path | None = None
    """Changes below this folder are crossings too."""
    workshop: Path | None = None
    """Images are built in the workshop of this folder, at once."""

    @property
    def verdict(self) -> Path:
        return self.folder / "verdict"


def load_task(dag_file: Path, task_id: str) -> Any:
    """The operator of a DAG file, loaded as the DAG processor does: under a name that nobody can import."""
    name = f"unusual_prefix_0123456789_{dag_file.stem}"
    spec = spec_from_file_location(name, dag_file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag.get_task(task_id)


def perform(leg: Leg) -> None:
    """The body of a worker's process. It says how it ended; a process that was killed says nothing."""
    output = os.open(leg.folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(NO_WAITING)
    try:
        _perform(leg)
    except BaseException:
        leg.verdict.write_text(traceback.format_exc())
    else:
        leg.verdict.write_text(DONE)


def _perform(leg: Leg) -> None:
    import tasks
    from execution_api import ExecutionApi
    from tripwire import Tripwire
    from workshop import Workshop, equip

    if leg.workshop is not None:
        equip(Workshop(leg.workshop, quick=True))
    wire = Tripwire(leg.folder / "crossings", leg.kill_at, leg=leg.kind)
    wire.watch_local_platform()
    if leg.disk is not None:
        wire.watch_disk(leg.disk)
    db = Installation.load(leg.installation)
    api = ExecutionApi(db, before=wire.before, after=wire.after)
    if leg.kind == "watch":
        tasks.watch(db, leg.key, api=api)
    else:
        tasks.work(load_task(leg.dag_file, leg.key.task_id), db, leg.key, api=api)


@dataclass
class Theatre:
    """One task of one DAG file and the installation that it runs in."""

    dag_file: Path
    key: TaskKey
    folder: Path
    legs: list[str] = field(default_factory=list)
    """What ran: ``"start"``, ``"watch"``, ``"resume"``, with ``!`` where the process was killed."""
    disk: Path | None = None
    """Count changes on disk below this folder as crossings."""
    workshop: Path | None = None
    """Have images built in a workshop."""
    process: Any = None
    """The newest one."""

    @property
    def db(self) -> Installation:
        """The installation as it is on disk now."""
        return Installation.load(self.folder / "airflow.json")

    @property
    def row(self) -> TaskRow:
        return self.db.rows[self.key]

    @property
    def output(self) -> str:
        return _text(self.folder / "output")

    @property
    def crossings(self) -> list[str]:
        return _text(self.folder / "crossings").splitlines()

    def open(self, connections: dict[str, Any], *, retries: int = 1) -> None:
        """A fresh installation with this task queued for its first try."""
        path = self.folder / "airflow.json"
        path.unlink(missing_ok=True)
        Installation(connections=connections, path=path).queue(self.key, max_tries=retries)

    def play(self, kill_at: str | None = None) -> TaskRow:
        """Run the task to its end; kill, once, the process that comes by ``kill_at``."""
        while self.begin(kill_at):
            if self._ended(PATIENCE):
                kill_at = None
        return self.row

    def play_until(self, condition: Callable[[], bool]) -> None:
        """Run the task until the condition holds, and leave the worker or triggerer of that moment at its work."""
        while self.begin():
            while self.process.is_alive():
                if condition():
                    return
                self.process.join(0.05)
            self._ended(0)
        raise AssertionError(f"the task ended first: {self.row}\n{self.output[-3000:]}")

    def play_on(self) -> TaskRow:
        """Go on after ``play_until``."""
        self._ended(PATIENCE)
        return self.play()

    def begin(self, kill_at: str | None = None) -> bool:
        """Start the process that is due; False when the task has ended."""
        row = self.row
        if row.state not in ("queued", "deferred"):
            return False
        kind = "watch" if row.state == "deferred" else "resume" if row.next_method else "start"
        self.legs.append(kind)
        leg = Leg(
            kind, self.dag_file, self.folder / "airflow.json", self.key, self.folder, kill_at, self.disk, self.workshop
        )
        leg.verdict.unlink(missing_ok=True)
        self.process = server().Process(target=perform, args=(leg,))
        self.process.start()
        return True

    def lose(self) -> None:
        """SIGKILL for the worker or triggerer that is at work."""
        self.process.kill()
        assert self._ended(PATIENCE)

    def clear(self, *, retries: int = 1) -> None:
        """A user clears the task. A worker gets SIGTERM and, five seconds later, SIGKILL (``airflow`` 3.3)."""
        self.db.clear(self.key, retries=retries)
        self._end_killed_leg()
        if self.row.state == "restarting":
            self.db.retry(self.key)

    def mark(self, state: str) -> None:
        """A user marks the task."""
        self.db.mark(self.key, state)
        self._end_killed_leg()

    def _end_killed_leg(self) -> None:
        if self.legs[-1] != "watch":
            self.process.terminate()
        self.process.join(PATIENCE if self.legs[-1] == "watch" else 5)
        self.process.kill()
        self.process.join()

    def _ended(self, patience: float) -> bool:
        """Wait for the process; whether it was killed."""
        kind = self.legs[-1]
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError(f"{kind} of {self.key.task_id} hangs:\n{self.output[-3000:]}")
        verdict = _text(self.folder / "verdict")
        assert verdict in (DONE, ""), f"{kind} ended with {verdict}\n{self.output[-3000:]}"
        if not verdict:
            self.legs[-1] += "!"
            self._notice_the_loss(kind)
        return not verdict

    def _notice_the_loss(self, kind: str) -> None:
        """What the scheduler does about a worker that is gone; a lost triggerer's triggers go to the next one."""
        row = self.row
        if kind == "watch" or row.state not in ("queued", "running"):
            return
        if row.should_retry:
            self.db.retry(self.key)
        else:
            self.db.mark(self.key, "failed")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def server() -> Any:
    """Processes of this context start from one that has Airflow imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context
