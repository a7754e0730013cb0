"""Whether a job still belongs to the task instance that deferred on it.

The answer decides about a deletion, so it has three values: *ours* (another triggerer watches it, or
the resumed task collects it), *lost* (the task instance is over, gone, or about another job), and
*unknown*, which is never taken for a yes (``design`` 3.10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from airflow_provider_kinetic.hooks.task import XCOM_HANDLE

PATIENCE = 20.0
"""Seconds to wait for an answer."""

_HOLDING = frozenset({"deferred", "running", "up_for_retry"})


class Ownership(Enum):
    OURS = "ours"
    LOST = "lost"
    UNKNOWN = "unknown"


class TaskInstance(Protocol):
    """The part of the trigger's task instance that is used here."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int


def judge(state: str | None, current: Any, job_id: str) -> Ownership:
    """Pure core: the task instance's state (None: there is none) and the handle that its newest try has pushed."""
    if state not in _HOLDING:
        return Ownership.LOST
    if not isinstance(current, Mapping):
        return Ownership.UNKNOWN  # a try that has just begun: it will push the job that it follows
    held = current.get("job_id")
    return Ownership.OURS if held == job_id else Ownership.LOST


async def ownership(ti: TaskInstance | None, job_id: str) -> Ownership:
    """Ask Airflow; never raises."""
    if ti is None:
        return Ownership.UNKNOWN
    try:
        state, current = await asyncio.wait_for(_ask(ti), PATIENCE)
    except Exception:
        return Ownership.UNKNOWN
    return judge(state, current, job_id)


async def _ask(ti: TaskInstance) -> tuple[str | None, Any]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom
    from asgiref.sync import sync_to_async

    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    current = await XCom.aget_one(
        key=XCOM_HANDLE, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
    )
    key = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    return states.get(ti.run_id, {}).get(key), current
