"""The metadata database of an Airflow that is not there.

It holds what the server of Airflow 3.3 would remember between two processes, and offers what scheduler and user do to
it: queue a retry, clear a task, fire an event. With a ``path`` it is written by rename after every change, so that
a worker that is killed with SIGKILL leaves exactly what a real server would have committed.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ENDED = ("success", "failed", "skipped", "up_for_retry")


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
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    try_number: int = 1
    state: str | None = "queued"
    start_date: str | None = None
    next_method: str | None = None
    next_kwargs: dict[str, Any] | None = None
    trigger: dict[str, Any] | None = None
    """The DeferTask message of the worker, while deferred."""

    @property
    def should_retry(self) -> bool:
        """As ``_is_eligible_to_retry`` of the server's ``task_instances`` routes."""
        return self.max_tries != 0 and self.try_number <= self.max_tries

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
    calls: list[str] = field(default_factory=list)
    """Requests of this process, in order: ``"POST xcom job_id"``."""
    path: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Installation:
        raw = json.loads(path.read_text())
        rows = [TaskRow(**{**row, "key": TaskKey(*row["key"])}) for row in raw["rows"]]
        return cls(
            connections=raw["connections"],
            variables=raw["variables"],
            xcoms={XComKey(*key): value for key, value in raw["xcoms"]},
            store={TaskKey(*key): value for key, value in raw["store"]},
            rows={row.key: row for row in rows},
            clear_numbers=raw["clear_numbers"],
            path=path,
        )

    def save(self) -> None:
        if self.path is None:
            return
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

    def row(self, key: TaskKey, *, max_tries: int = 0) -> TaskRow:
        """The row of this task instance, queued for its first try where there is none yet."""
        if key not in self.rows:
            self.rows[key] = TaskRow(key, max_tries=max_tries)
            self.save()
        return self.rows[key]

    def by_id(self, ti_id: str) -> TaskRow | None:
        return next((row for row in self.rows.values() if row.id == ti_id), None)

    def retry(self, key: TaskKey) -> TaskRow:
        """Queue the next try after a failed one or a lost worker: the state store stays, the deferral is forgotten."""
        row = self.rows[key]
        row.forget_deferral()
        row.id, row.try_number, row.state = str(uuid.uuid4()), row.try_number + 1, "queued"
        self.save()
        return row

    def clear(self, key: TaskKey, *, retries: int = 0) -> TaskRow:
        """A user clears the task and the scheduler queues it.

        As ``models.taskinstance.clear_task_instances``: ``max_tries`` of a running task stays as it is, for any other
        it becomes the tries so far plus ``retries``; the clear number grows for the whole run.
        """
        row = self.rows[key]
        if row.state != "running":
            row.max_tries = row.try_number + retries
        self.clear_sibling(key.run_id)
        return self.retry(key)

    def clear_sibling(self, run_id: str) -> None:
        """A user clears something else of the same run."""
        self.clear_numbers[run_id] = self.clear_numbers.get(run_id, 0) + 1
        self.save()

    def mark(self, key: TaskKey, state: str) -> None:
        """A user marks the task as failed or successful."""
        self.rows[key].state = state
        self.rows[key].forget_deferral()
        self.save()

    def resume(self, key: TaskKey, next_method: str, next_kwargs: dict[str, Any]) -> TaskRow:
        """The triggerer or the scheduler sends a deferred task back to a worker; the try number stays."""
        row = self.rows[key]
        row.trigger, row.next_method, row.next_kwargs, row.state = None, next_method, next_kwargs, "queued"
        self.save()
        return row

    # Short cuts of tests.

    def xcom(self, key: TaskKey, name: str = "return_value") -> Any:
        """An XCom of this task instance; None when there is none."""
        return self.xcoms.get(XComKey(key.dag_id, key.run_id, key.task_id, key.map_index, name))

    def xcom_names(self, key: TaskKey) -> set[str]:
        where = (key.dag_id, key.run_id, key.task_id, key.map_index)
        return {found.key for found in self.xcoms if found[:4] == where}

    def push(self, key: TaskKey, name: str, value: Any) -> None:
        """Put an XCom there, as an upstream task would have."""
        self.xcoms[XComKey(key.dag_id, key.run_id, key.task_id, key.map_index, name)] = value
        self.save()


def local_connection(folder: Path, **extra: Any) -> dict[str, dict[str, Any]]:
    """``kinetic_default`` on platform ``local``, with everything below ``folder``."""
    settings = {"platform": "local", "emulate_accelerators": True, "bucket": str(folder), **extra}
    return {"kinetic_default": {"conn_type": "kinetic", "extra": json.dumps(settings)}}
