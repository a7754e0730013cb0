"""A DAG file of Kinetic tasks and a local platform for them, in one folder; tasks run in this process."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tasks
from installation import Installation, TaskKey, local_connection
from workers import NO_WAITING, load_task

from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.handle import JobHandle

IMPORTS = """
import datetime, os, sys, time
from pathlib import Path
from airflow.sdk import DAG
from airflow_provider_kinetic.operators.cleanup import KineticCleanupOperator
from airflow_provider_kinetic.operators.collect import KineticCollectOperator
from airflow_provider_kinetic.operators.run import KineticRunOperator
from airflow_provider_kinetic.operators.submit import KineticSubmitOperator
from airflow_provider_kinetic.sensors.job import KineticJobSensor

LOCAL = JOB = dict(accelerator="cpu", container_image={image}, stop_grace=1)


def note(folder):
    with Path(folder, "calls").open("a") as out:
        print(os.environ["JOB_ID"], file=out)


def at_the_gate(folder):
    Path(folder, "begun").touch()
    while not Path(folder, "open").exists():
        time.sleep(0.02)
"""


@dataclass
class Shop:
    """Everything of one test."""

    folder: Path
    db: Installation
    monkeypatch: pytest.MonkeyPatch

    image = sys.executable
    """What tasks run in unless they say otherwise."""

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
        for name, value in NO_WAITING.items():
            monkeypatch.setenv(name, value)
        shop = cls(folder, Installation(), monkeypatch)
        shop.connect()
        shop.dag_file.parent.mkdir()
        try:
            yield shop
        finally:
            for process in shop.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            sys.modules.pop(f"unusual_prefix_0123456789_{shop.dag_file.stem}", None)

    @property
    def dag_file(self) -> Path:
        return self.folder / "dags" / "shop.py"

    @property
    def platform(self) -> Path:
        return self.folder / "kinetic"

    def write(self, source: str) -> None:
        """Write the DAG file; ``{gate}`` stands for the folder of :meth:`open_gate` and :attr:`calls`."""
        header = IMPORTS.replace("{image}", repr(self.image))
        self.dag_file.write_text(header + source.replace("{gate}", str(self.folder)))

    def job(self, function: str, **options: Any) -> Any:
        """The one task of a DAG file with this source of a function ``f``, run by a ``KineticRunOperator``."""
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        operator = f"KineticRunOperator(**{{**LOCAL, **dict(task_id='job', python_callable=f{given})}})"
        self.write(f"{function}\n\nwith DAG('shop', schedule=None) as dag:\n    {operator}\n")
        return self.load("job")

    def load(self, task_id: str) -> Any:
        """The operator, from the DAG file loaded anew."""
        return load_task(self.dag_file, task_id)

    def run(self, task_id: str = "job", **where: Any) -> tasks.TaskResult:
        """One try of the task."""
        return tasks.run(self.load(task_id), self.db, **where)

    def again(self, result: tasks.TaskResult, *, clear: bool = False) -> tasks.TaskResult:
        """The next try of the task, after a retry or a clear."""
        self.db.clear(result.key) if clear else self.db.retry(result.key)
        return self.run(result.key.task_id, run_id=result.key.run_id)

    def handle(self, task_id: str = "job", run_id: str = "run_1") -> JobHandle:
        """Of the job that the task has submitted."""
        return JobHandle.from_dict(self.db.xcom(TaskKey("shop", task_id, run_id), "kinetic_job"))

    def connect(self, **extra: Any) -> None:
        """A connection with these further settings, for tasks and for whoever reads results outside of them."""
        self.db.connections = local_connection(self.platform, **extra)
        connection = self.db.connections["kinetic_default"]
        fitting = {**connection, "extra": json.loads(connection["extra"])}
        self.monkeypatch.setenv("AIRFLOW_CONN_KINETIC_DEFAULT", json.dumps(fitting))

    # The gate that ``at_the_gate("{gate}")`` of a job waits at.

    def open_gate(self) -> None:
        (self.folder / "open").touch()

    @property
    def begun(self) -> bool:
        return (self.folder / "begun").exists()

    @property
    def calls(self) -> list[str]:
        """For each call of a function that does ``note("{gate}")``: its job."""
        notes = self.folder / "calls"
        return notes.read_text().splitlines() if notes.exists() else []

    # What there is of jobs.

    def processes(self) -> list[psutil.Process]:
        """What runs of this platform's jobs."""
        return [process for process in psutil.process_iter(["cmdline"]) if self._runs(process)]

    def _runs(self, process: psutil.Process) -> bool:
        return any(str(self.platform) in word for word in process.info["cmdline"] or ())

    @property
    def artifacts(self) -> list[str]:
        """Jobs that have objects in the store."""
        jobs = self.platform / "jobs"
        return sorted(path.name for path in jobs.iterdir() if any(path.rglob("*"))) if jobs.exists() else []

    @property
    def ports(self) -> Ports:
        from airflow_provider_kinetic.clusters.local import LocalCluster
        from airflow_provider_kinetic.stores.local import LocalStore

        unused: Any = None
        return Ports(LocalCluster(self.platform / "cluster"), LocalStore(), unused)

    def refit(self, change: Callable[[Ports], Any]) -> None:
        """From now on tasks and triggers get what ``change`` makes of the ports."""
        real = platforms.PLATFORMS["local"]
        self.monkeypatch.setitem(platforms.PLATFORMS, "local", lambda target: change(real(target)))

    def count_calls(self) -> list[str]:
        """``"download result.pkl"`` and so on: every call of the store from now on."""
        calls: list[str] = []

        def counted(ports: Ports) -> Ports:
            store: Any = CountedStore(ports.store, calls)
            return replace(ports, store=store)

        self.refit(counted)
        return calls


class CountedStore:
    """A store that writes down what it is asked for."""

    def __init__(self, store: Any, calls: list[str]) -> None:
        self._store, self._calls = store, calls

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            uri = next((arg for arg in args if isinstance(arg, str)), "")
            self._calls.append(f"{name} {uri.rpartition('/')[2]}")
            return getattr(self._store, name)(*args, **kwargs)

        return call


def same_json(value: Any) -> bool:
    """Whether the value comes back the same from JSON."""
    return bool(json.loads(json.dumps(value)) == value)
