"""The metadata database of an Airflow that is not there.

It holds what the server of Airflow 3.3 would remember between two processes, and offers what scheduler and user do to
it: queue a retry, clear a task, fire an event. With a ``path`` it is a file that several processes share: every
change is a transaction, written by rename, so that a worker that is killed with SIGKILL leaves exactly what a real
server would have committed.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class TaskKey(NamedTuple):
    """Which task instance; ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1


class XComKey(NamedTuple):
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str


@dataclass
class TaskRow:
    """One row of ``task_instance``."""

    key: TaskKey
    max_tries: int = 0
    """The task's ``retries``; grows when a user clears the task."""
    operator: str = ""
    """Name of the operator's class."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    try_number: int = 1
    state: str | None = "queued"
    start_date: str | None = None
    next_method: str | None = None
    next_kwargs: dict[str, Any] | None = None
    trigger: dict[str, Any] | None = None
    """The DeferTask message of the worker, while deferred."""
    ending: dict[str, Any] = field(default_factory=dict)
    """What the worker said when the last try ended: events of assets, delay of a retry."""

    @property
    def should_retry(self) -> bool:
        """As ``_is_eligible_to_retry`` of the server's ``task_instances`` routes."""
        return self.max_tries != 0 and self.try_number <= self.max_tries

    def next_try(self) -> None:
        self.forget_deferral()
        self.id, self.try_number, self.state = str(uuid.uuid4()), self.try_number + 1, "queued"

    def forget_deferral(self) -> None:
        self.next_method = self.next_kwargs = self.trigger = None


@dataclass
class Installation:
    """Everything that outlives a worker."""

    connections: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    xcoms: dict[XComKey, Any] = field(default_factory=dict)
    store: dict[TaskKey, dict[str, Any]] = field(default_factory=dict)
    """The task state store: key and value by task instance."""
    rows: dict[TaskKey, TaskRow] = field(default_factory=dict)
    clear_numbers: dict[str, int] = field(default_factory=dict)
    """How often anything of a run was cleared, by run id."""
    confs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What a run was triggered with, by run id; only in memory."""
    calls: list[str] = field(default_factory=list)
    """Requests of this process, in order: ``"POST xcom job_id"``."""
    path: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Installation:
        db = cls(path=path)
        db._read()
        return db

    @contextmanager
    def transaction(self) -> Iterator[Installation]:
        """Change it: from what is on disk now to what is there afterwards, with nobody in between."""
        if self.path is None:
            yield self
            return
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.path.exists():
                self._read()
            yield self
            self._write()

    def refresh(self) -> None:
        """See what others have changed."""
        if self.path is not None:
            self._read()

    def _read(self) -> None:
        assert self.path is not None
        raw = json.loads(self.path.read_text())
        rows = [TaskRow(**{**row, "key": TaskKey(*row["key"])}) for row in raw["rows"]]
        self.connections, self.variables = raw["connections"], raw["variables"]
        self.xcoms = {XComKey(*key): value for key, value in raw["xcoms"]}
        self.store = {TaskKey(*key): value for key, value in raw["store"]}
        self.rows = {row.key: row for row in rows}
        self.clear_numbers = raw["clear_numbers"]

    def _write(self) -> None:
        assert self.path is not None
        raw = {
            "connections": self.connections,
            "variables": self.variables,
            "xcoms": list(self.xcoms.items()),
            "store": list(self.store.items()),
            "rows": [asdict(row) for row in self.rows.values()],
            "clear_numbers": self.clear_numbers,
        }
        new = self.path.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(raw))
        new.replace(self.path)

    # What scheduler and user do.

    def queue(self, key: TaskKey, *, max_tries: int = 0, operator: str = "") -> None:
        """Queue the first try, where there was none yet."""
        with self.transaction():
            self.rows.setdefault(key, TaskRow(key, max_tries=max_tries, operator=operator))

    def retry(self, key: TaskKey) -> None:
        """Queue the next try after a failed one or a lost worker: the state store stays, the deferral is forgotten."""
        with self.transaction():
            self.rows[key].next_try()

    def clear(self, key: TaskKey, *, retries: int = 0) -> None:
        """A user clears the task.

        As ``models.taskinstance.clear_task_instances``: a running one waits for its worker to end (then ``retry`` it),
        any other gets ``retries`` more tries and is queued. The clear number grows for the whole run.
        """
        self.clear_sibling(key.run_id)
        with self.transaction():
            row = self.rows[key]
            if row.state == "running":
                row.id, row.state = str(uuid.uuid4()), "restarting"
            else:
                row.max_tries = row.try_number + retries
                row.next_try()

    def clear_sibling(self, run_id: str) -> None:
        """A user clears something else of the same run."""
        with self.transaction():
            self.clear_numbers[run_id] = self.clear_numbers.get(run_id, 0) + 1

    def mark(self, key: TaskKey, state: str) -> None:
        """A user marks the task as failed or successful."""
        with self.transaction():
            self.rows[key].state = state
            self.rows[key].forget_deferral()

    def resume(self, key: TaskKey, next_method: str, next_kwargs: Any) -> None:
        """The triggerer or the scheduler sends a deferred task back to a worker; the try number stays."""
        with self.transaction():
            row = self.rows[key]
            row.trigger, row.next_method, row.next_kwargs, row.state = None, next_method, next_kwargs, "queued"

    def push(self, key: TaskKey, name: str, value: Any) -> None:
        """Put an XCom there, as an upstream task would have."""
        with self.transaction():
            self.xcoms[XComKey(key.dag_id, key.run_id, key.task_id, key.map_index, name)] = value

    # What there is.

    def by_id(self, ti_id: str) -> TaskRow | None:
        return next((row for row in self.rows.values() if row.id == ti_id), None)

    def xcom(self, key: TaskKey, name: str = "return_value") -> Any:
        """An XCom of this task instance as it is stored; None when there is none."""
        return self.xcoms.get(XComKey(key.dag_id, key.run_id, key.task_id, key.map_index, name))

    def xcom_names(self, key: TaskKey) -> set[str]:
        where = (key.dag_id, key.run_id, key.task_id, key.map_index)
        return {found.key for found in self.xcoms if found[:4] == where}


def local_connection(folder: Path, **extra: Any) -> dict[str, dict[str, Any]]:
    """``kinetic_default`` on platform ``local``, with everything below ``folder``."""
    settings = {"platform": "local", "emulate_accelerators": True, "bucket": str(folder), **extra}
    return {"kinetic_default": {"conn_type": "kinetic", "extra": json.dumps(settings)}}
