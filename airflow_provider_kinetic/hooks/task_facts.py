"""What the Execution API says of the task instances that submitted jobs.

Tasks have no database (``airflow`` 0): a DAG that looks for unwanted jobs asks through its own task's supervisor. The
newest job of a task instance is the handle that its newest try has pushed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.hooks.task import XCOM_HANDLE
from airflow_provider_kinetic.lifecycle.gc import TaskFacts, Unanswered
from airflow_provider_kinetic.model.spec import TaskIdentity

TO_THE_END = frozenset({"KineticRunOperator", "_KineticDecoratedOperator", "@task.kinetic"})
"""Operators whose job never outlives their success. Of others it is not known, so their jobs are left alone."""


def facts(identity: TaskIdentity) -> TaskFacts | None:
    """``lifecycle.gc.Facts``; only within a task.

    :raises Unanswered: the API server did not answer, or does not let this task ask.
    """
    try:
        return _facts(identity)
    except Exception as error:  # whatever went wrong: what is not known is no reason to end a job
        raise Unanswered(f"{type(error).__name__}: {error}".splitlines()[0]) from error


def _facts(identity: TaskIdentity) -> TaskFacts | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    index = identity.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=identity.dag_id, task_ids=[identity.task_id], run_ids=[identity.run_id], map_index=index
    )
    found: dict[str, Any] = states.get(identity.run_id, {})
    key = identity.task_id if index < 0 else f"{identity.task_id}_{index}"
    if key not in found:
        return None
    state = None if found[key] is None else str(found[key])
    return TaskFacts(state, _newest_job(identity), state != "success" or _outlived(identity))


def _newest_job(identity: TaskIdentity) -> str | None:
    from airflow.sdk.execution_time.xcom import XCom

    pushed = XCom.get_one(
        key=XCOM_HANDLE,
        dag_id=identity.dag_id,
        task_id=identity.task_id,
        run_id=identity.run_id,
        map_index=identity.map_index,
    )
    return pushed.get("job_id") if isinstance(pushed, Mapping) else None


def _outlived(identity: TaskIdentity) -> bool:
    """Whether its job may go on after its success, by the class of its operator."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    ended = RuntimeTaskInstance.get_task_breadcrumbs(identity.dag_id, identity.run_id)
    mine = (identity.task_id, identity.map_index)
    return all(each["operator"] not in TO_THE_END for each in ended if (each["task_id"], each["map_index"]) == mine)
