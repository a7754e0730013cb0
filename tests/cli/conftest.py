"""A local platform with real jobs on it, and ``airflow kinetic …`` through Airflow's own parser."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from command_line import CommandLine
from command_line import command_line as command_line_of
from gcs_places import gcs
from installation import local_connection
from project import until

from airflow_provider_kinetic.hooks.direct import MemoryJournal
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.submit import ensure
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.status import JobState

__all__ = ["gcs"]

FUNCTIONS = """
import sys
import time
from pathlib import Path


def add(a, b):
    print("adding", a, "and", b)
    return {"sum": a + b}


def odd(a, b):
    return {a, b}


def fail():
    raise ValueError("the data set is empty")


def wait(gate):
    print("one", flush=True)
    print("two", flush=True)
    while not Path(gate).exists():
        time.sleep(0.02)
    print("three", flush=True)
"""


@dataclass(frozen=True)
class Desk:
    """Where the tests sit: a platform, a project, and a command line."""

    folder: Path
    functions: ModuleType
    run: Callable[..., str]
    """``run("jobs", "list")`` gives what stands on stdout; ``code`` is the exit code that is due."""

    @property
    def gate(self) -> Path:
        """Jobs of ``wait`` go on when it is there."""
        return self.folder / "gate"

    @property
    def platform(self) -> Path:
        return self.folder / "kinetic"

    def submit(self, name: str, *args: Any, **given: Any) -> JobHandle:
        """Have a function run as a job of a task of DAG ``etl``. ``given`` belongs to the spec or names the task."""
        task = {key: given.pop(key) for key in ("task_id", "map_index", "run_id") if key in given}
        spec = {"accelerator": "cpu", "container_image": sys.executable, "stop_grace": 0.5, **given}
        work = Work(
            function=getattr(self.functions, name),
            args=args,
            kwargs={},
            spec=JobSpec(func_name=name, **spec),
            identity=TaskIdentity(**{"dag_id": "etl", "task_id": name, "run_id": "r1", **task}),
            max_tries=0,
            secrets={},
        )
        hook = KineticHook()
        return ensure(hook.ports, hook.target, work, MemoryJournal(), say=print).handle

    def state(self, handle: JobHandle) -> JobState:
        return KineticHook().status(handle).state

    def submit_and_end(self, name: str, *args: Any, **given: Any) -> JobHandle:
        handle = self.submit(name, *args, **given)
        until(lambda: self.state(handle).terminal)
        return handle

    def submit_and_start(self, **given: Any) -> JobHandle:
        """A job that waits at the gate and has printed its first lines."""
        handle = self.submit("wait", str(self.gate), **given)
        until(lambda: "two" in KineticHook().logs(handle))
        return handle


@pytest.fixture(scope="session")
def parser() -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


@pytest.fixture
def command_line(parser: Any, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line_of(parser, capsys)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[..., str]) -> Iterator[Desk]:
    connection = local_connection(tmp_path / "kinetic")["kinetic_default"]
    connection["extra"] = json.loads(connection["extra"])
    monkeypatch.setenv("AIRFLOW_CONN_KINETIC_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # what a command sets is taken back after the test
    project = tmp_path / "project"
    project.mkdir()
    (project / "functions.py").write_text(FUNCTIONS)
    spec = importlib.util.spec_from_file_location("desk_functions", project / "functions.py")
    assert spec is not None
    assert spec.loader is not None
    functions = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "desk_functions", functions)
    spec.loader.exec_module(functions)
    desk = Desk(tmp_path, functions, command_line)
    yield desk
    desk.gate.touch()
    for process in _processes(str(desk.platform)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
            process.kill()


def _processes(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if mark in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found
