"""Whether a killed worker leg takes its job along.

A worker that is shut down gets the same signal as a task that a user marked failed. Only the task
instance's state tells them apart, and it must be asked for from another thread: the signal may have
interrupted a conversation with the supervisor, whose lock is not reentrant (``airflow`` 3.3).
"""

from __future__ import annotations

import threading
from typing import Any

PATIENCE = 2.0
"""Seconds to wait for the answer: the whole handler has five before SIGKILL."""


def still_running(ti: Any) -> bool:
    """True when Airflow still counts the task instance as running, or does not answer (gc finds what is left)."""
    answer: list[str | None] = []
    asking = threading.Thread(target=lambda: answer.append(_state(ti)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return not answer or answer[0] == "running"


def _state(ti: Any) -> str | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    index = -1 if ti.map_index is None else ti.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=index
    )
    key = ti.task_id if index < 0 else f"{ti.task_id}_{index}"
    state = states.get(ti.run_id, {}).get(key)
    return None if state is None else str(state)
