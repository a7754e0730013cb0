"""Whether a job, or a build, still belongs to the task instance that deferred on it.

The answer decides about a deletion, so it has three values: *ours* (another triggerer watches it, or
the resumed task collects it), *lost* (the task instance is over, gone, or about another one), and
*unknown*, which is never taken for a yes (``design`` 3.10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

PATIENCE = 20.0
"""Seconds to wait for an answer."""

_HOLDING = frozenset({"deferred", "running", "up_for_retry"})


class Ownership(Enum):
    OURS = "ours"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Holding:
    """What a task instance waits for, as the XCom ``key`` says it: these ``values`` among others."""

    what: str
    """For people."""
    key: str
    values: Mapping[str, Any]


class TaskInstance(Protocol):
    """The part of the trigger's task instance that is used here."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int


def judge(state: str | None, current: Any, values: Mapping[str, Any]) -> Ownership:
    """Pure core: the task instance's state (None: there is none) and what its newest try has pushed."""
    if state not in _HOLDING:
        return Ownership.LOST
    if not isinstance(current, Mapping):
        return Ownership.UNKNOWN  # a try that has just begun: it will push what it follows
    ours = all(current.get(name) == value for name, value in values.items())
    return Ownership.OURS if ours else Ownership.LOST


async def ownership(ti: TaskInstance | None, holding: Holding) -> Ownership:
    """Ask Airflow; never raises."""
    if ti is None:
        return Ownership.UNKNOWN
    try:
        state, current = await asyncio.wait_for(_ask(ti, holding.key), PATIENCE)
    except Exception:
        return Ownership.UNKNOWN
    return judge(state, current, holding.values)


async def _ask(ti: TaskInstance, key: str) -> tuple[str | None, Any]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom
    from asgiref.sync import sync_to_async

    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    current = await XCom.aget_one(
        key=key, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
    )
    one = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    return states.get(ti.run_id, {}).get(one), current
