"""Whether a killed worker leg takes its job along.

A worker that is shut down, or whose heartbeats were lost so that another one takes over, gets the same
signal as a task that a user marked failed. Only the task instance's state tells them apart, and it must be
asked for from another thread: the signal may have interrupted a conversation with the supervisor, whose lock is
not reentrant (``airflow`` 3.3).
"""

from __future__ import annotations

import threading
from typing import Any

PATIENCE = 2.0
"""Seconds to wait for the answer: the whole handler has five before SIGKILL."""

GONE = "gone"
"""In place of a state where there is no such task instance any more."""

_GOES_ON = frozenset({"running", "up_for_retry", "scheduled", "queued", "deferred", None})
"""States in which this try, or the next one, still wants the job.

None: a scheduler found the task without its executor and lets it start again. A clear is not among them: it
leaves the task ``restarting`` for as long as its worker lives.
"""


def goes_on(ti: Any) -> bool:
    """True when the job is still wanted, or when Airflow does not answer (gc finds what is left)."""
    answer: list[str | None] = []
    asking = threading.Thread(target=lambda: answer.append(_state(ti)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return not answer or answer[0] in _GOES_ON


def is_last_try(ti: Any) -> bool:
    """No other try will follow what this one began."""
    return bool(ti.try_number > ti.max_tries)


def _state(ti: Any) -> str | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    index = -1 if ti.map_index is None else ti.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=index
    )
    key = ti.task_id if index < 0 else f"{ti.task_id}_{index}"
    state = states.get(ti.run_id, {}).get(key, GONE)
    return None if state is None else str(state)
