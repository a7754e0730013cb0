"""Addresses of our pages in the Airflow UI: who links to them and who serves them agree here.

``{prefix}/{page}/{dag_id}/{run_id}/{task_id}?map_index=N``. Run ids hold ``+`` and ``:``, task ids of groups hold
dots; every part is quoted once and comes back whole from any server that unquotes a path once.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote, urlencode

PREFIX = "/kinetic"
JOB, LOGS, OUTPUTS = "job", "logs", "outputs"


class TaskInstance(Protocol):
    """Anything that says which task instance it is: Airflow's keys and running task instances do."""

    @property
    def dag_id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def map_index(self) -> int | None: ...


def page_path(ti: TaskInstance, page: str, **query: object) -> str:
    """Path and query below :data:`PREFIX`. ``page`` may have a slash in it."""
    parts = "/".join(quote(part, safe="") for part in (ti.dag_id, ti.run_id, ti.task_id))
    return f"/{page}/{parts}?{urlencode({'map_index': map_index(ti), **query})}"


def task_path(ti: TaskInstance) -> str:
    """The task instance in Airflow's own UI, below the UI's root."""
    dag, run, task = (quote(part, safe="") for part in (ti.dag_id, ti.run_id, ti.task_id))
    mapped = f"/mapped/{map_index(ti)}" if map_index(ti) >= 0 else ""
    return f"/dags/{dag}/runs/{run}/tasks/{task}{mapped}"


def map_index(ti: TaskInstance) -> int:
    """-1 for a task that is not mapped, also where Airflow says None."""
    return -1 if ti.map_index is None else ti.map_index
