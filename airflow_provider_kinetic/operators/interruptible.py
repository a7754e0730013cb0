"""Waiting in a worker that may be told to stop at any moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_provider_kinetic.lifecycle.effects import ExecutionTimeout

KILL_LOOK = 0.5
"""Longest sleep in seconds of a worker that waits: so soon it sees that it was killed."""


class Killed(AirflowException):
    """The task was taken away while it waited."""


class Interruptible(BaseOperator):
    """Mixin state of an operator whose ``on_kill`` is heard by what it does."""

    poll_interval: float | None = None
    """Seconds between two looks at what is waited for; None: as it is configured."""

    _ti: Any = None
    _killed = False

    def on_kill(self) -> None:
        self._killed = True
        super().on_kill()

    def _sleep(self, duration: float) -> None:
        until = time.monotonic() + duration
        while not self._killed and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, KILL_LOOK))
        if self._killed:
            raise Killed("The task was killed while it waited.")

    def _poll(self) -> float:
        from airflow_provider_kinetic.hooks.settings import load_settings

        return load_settings().poll_interval if self.poll_interval is None else self.poll_interval

    def _timeout(self, context: Context) -> ExecutionTimeout | None:
        """Of the whole task, over its legs: Airflow's own clock stops while a task is deferred (``airflow`` 0.4)."""
        from airflow_provider_kinetic.lifecycle.effects import ExecutionTimeout

        limit: timedelta | None = self.execution_timeout
        if limit is None:
            return None
        started = context["ti"].start_date
        return ExecutionTimeout(limit.total_seconds(), (started + limit).timestamp())

    def _say(self, line: str) -> None:
        self.log.info("%s", line)
