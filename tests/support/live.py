"""Acting on tasks of a running Airflow, as a user does, and looking at the processes of their jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import psutil

from demo.api import Api
from demo.standalone import Standalone

T = TypeVar("T")
PATIENCE = 120.0
"""Seconds for one thing to happen; a machine that also does other work needs most of them."""


def eventually(look: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """What ``look`` returns, as soon as that is true.

    :raises AssertionError: it was not within ``timeout`` seconds.
    """
    give_up = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < give_up, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.3)
    return found


def processes(title: str) -> list[psutil.Process]:
    """Processes that this one started, directly or not, whose command line has these words."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True)
class Job:
    """A job that beats, or did."""

    job_id: str
    pid: int

    @property
    def alive(self) -> bool:
        """Whether its very process exists."""
        try:
            return psutil.Process(self.pid).environ().get("JOB_ID") == self.job_id
        except psutil.Error:
            return False


@dataclass(frozen=True)
class Task:
    """One task instance of a run; its jobs write beats to ``folder`` under ``name``."""

    api: Api
    dag_id: str
    run_id: str
    task_id: str
    folder: Path
    name: str = "beat"
    map_index: int = -1

    @property
    def record(self) -> dict[str, Any]:
        for task in self.api.tasks(self.dag_id, self.run_id):
            if (task["task_id"], task["map_index"]) == (self.task_id, self.map_index):
                return task
        return {"state": None, "try_number": 0}  # a mapped one before it is expanded

    def state(self) -> str | None:
        state: str | None = self.record["state"]
        return state

    def wait(self, *states: str) -> None:
        eventually(lambda: self.state() in states, f"{self.dag_id}.{self.task_id} is {' or '.join(states)}")

    def clear(self) -> None:
        which = self.task_id if self.map_index < 0 else (self.task_id, self.map_index)
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run_id, "task_ids": [which]}
        self.api.call("POST", f"dags/{self.dag_id}/clearTaskInstances", json=body)

    def mark(self, state: str) -> None:
        index = "" if self.map_index < 0 else f"/{self.map_index}"
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{self.task_id}{index}"
        self.api.call("PATCH", path, json={"new_state": state})

    def mark_run(self, state: str) -> None:
        self.api.call("PATCH", f"dags/{self.dag_id}/dagRuns/{self.run_id}", json={"state": state})

    def xcom(self, key: str = "return_value") -> Any:
        return self.api.xcom(self.dag_id, self.run_id, self.task_id, key, self.map_index)

    def links(self) -> dict[str, str]:
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{self.task_id}/links"
        links: dict[str, str] = self.api.call("GET", path, params={"map_index": self.map_index})["extra_links"]
        return links

    def log(self, try_number: int = 1) -> list[str]:
        return self.api.log(self.dag_id, self.run_id, self.task_id, try_number, self.map_index)

    def beats(self) -> list[Job]:
        """Who beat, oldest first."""
        try:
            lines = (self.folder / f"{self.name}.beats").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [Job(job_id, int(pid)) for job_id, pid in map(str.split, lines)]

    def executions(self) -> list[Job]:
        """Executions in turn: one that beats between two beats of another is there twice."""
        return [job for job, _ in groupby(self.beats())]

    def job(self, *, state: str, after: Job | None = None) -> Job:
        """The job that beats, once the task is in this state and, with ``after``, once another job has begun."""
        eventually(lambda: set(self.executions()) - {after}, f"a job of {self.dag_id}.{self.task_id} beats")
        self.wait(state)
        return self.beats()[-1]

    def still_beats(self) -> bool:
        """Whether a new beat comes within some seconds."""
        before, give_up = len(self.beats()), time.monotonic() + 10
        while len(self.beats()) == before and time.monotonic() < give_up:
            time.sleep(0.2)
        return len(self.beats()) > before

    def release(self) -> None:
        """Let the job end by itself."""
        (self.folder / f"{self.name}.end").touch()


@dataclass(frozen=True)
class Live:
    """A running Airflow, and a folder for each of its runs."""

    airflow: Standalone
    folder: Path

    def start(self, dag_id: str, label: str, task_id: str = "beat", names: tuple[str, ...] = ()) -> list[Task]:
        """Trigger a run. Its task, or with ``names`` those of each map index."""
        folder = self.folder / label
        folder.mkdir()
        api = self.airflow.client
        eventually(lambda: api.has_dag(dag_id), f"the DAG {dag_id} is parsed")
        run_id = api.trigger(dag_id, {"folder": str(folder)})
        if not names:
            return [Task(api, dag_id, run_id, task_id, folder)]
        return [Task(api, dag_id, run_id, task_id, folder, name, index) for index, name in enumerate(names)]
