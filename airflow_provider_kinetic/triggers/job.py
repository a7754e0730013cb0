"""Observing a job in the triggerer.

The trigger drives the same description of an observation as the worker does
(:mod:`airflow_provider_kinetic.lifecycle.observe`); every touch of the world happens in a thread, so nothing
blocks the event loop. One deferral per try: it fires when the job is over or a deadline has passed,
and not before the scheduler has settled the first leg (``airflow`` 0.5).

Killing is guarded, because Airflow calls ``on_kill`` also when a stalled triggerer merely lost its
triggers to another one (``airflow`` 0.3), and shielded, because it cancels the call itself after a second
(``airflow`` 0.2).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_kinetic.hooks.task import XCOM_LOG_CURSOR
from airflow_provider_kinetic.lifecycle.observe import (
    Effect,
    ExecutionTimeout,
    Outcome,
    Pause,
    Say,
    Show,
    Tail,
    watch,
)
from airflow_provider_kinetic.model.errors import InfrastructureError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.triggers.budget import LineBudget
from airflow_provider_kinetic.triggers.guard import Ownership, ownership

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports

GUARD_ATTEMPTS = 5
GUARD_PAUSE = 20.0
"""Seconds between two questions to whom a job belongs, while nobody answers."""

LINES_AT_ONCE = 100
"""Log lines that are written without a look at what else is to be done: a few milliseconds."""

_kills: set[asyncio.Task[None]] = set()
_budgets: dict[float, LineBudget] = {}


class KineticJobTrigger(BaseTrigger):
    """Waits for the end of one job.

    :param job: the handle, as a dict. It holds no secret: trigger arguments are stored in clear text.
    :param kinetic_conn_id: where credentials come from.
    :param poll: seconds between two looks.
    :param fire_after: Unix time before which the event is held back.
    :param timeout: Airflow's ``execution_timeout`` in seconds and the Unix time at which it is over.
    :param cancel_on_kill: whether the job dies with this trigger. False for a job that another task submitted.
    :param lines_per_second: budget of log lines for all triggers of the process.
    """

    def __init__(
        self,
        *,
        job: dict[str, Any],
        kinetic_conn_id: str,
        poll: float = 5.0,
        fire_after: float = 0.0,
        timeout: list[float] | None = None,
        cancel_on_kill: bool = True,
        lines_per_second: float = 200.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job = job
        self.kinetic_conn_id = kinetic_conn_id
        self.poll = poll
        self.fire_after = fire_after
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.lines_per_second = lines_per_second

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("job", "kinetic_conn_id", "poll", "fire_after", "timeout", "cancel_on_kill", "lines_per_second")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        handle = JobHandle.from_dict(self.job)
        ports = await asyncio.to_thread(self._ports, handle)
        outcome = await self._observe(handle, ports, await self._shown())
        await asyncio.sleep(max(0.0, self.fire_after - time.time()))
        yield TriggerEvent(outcome.to_dict())  # type: ignore[no-untyped-call]

    def _ports(self, handle: JobHandle) -> Ports:
        from airflow_provider_kinetic.hooks.kinetic import KineticHook

        return KineticHook.of(handle, self.kinetic_conn_id).ports

    async def _observe(self, handle: JobHandle, ports: Ports, cursor: str) -> Outcome:
        timeout = ExecutionTimeout(*self.timeout) if self.timeout else None
        watching = watch(handle, poll=self.poll, cursor=cursor, timeout=timeout, cancels=self.cancel_on_kill)
        try:
            effect = next(watching)
            while True:
                try:
                    answer = await self._perform(effect, ports)
                except InfrastructureError as error:
                    effect = watching.throw(error)
                else:
                    effect = watching.send(answer)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome

    async def _perform(self, effect: Effect, ports: Ports) -> Any:
        if isinstance(effect, Pause):
            await asyncio.sleep(effect.seconds)
        elif isinstance(effect, Say):
            self.log.info("%s", effect.line)
        elif isinstance(effect, Show):
            await self._show(effect)
        elif isinstance(effect, Tail) and not self._budget.open(effect.handle.job_id):
            return []
        else:
            return await asyncio.to_thread(effect.perform, ports)
        return None

    @property
    def _budget(self) -> LineBudget:
        """The one budget of this process."""
        return _budgets.setdefault(self.lines_per_second, LineBudget(self.lines_per_second))

    async def _show(self, effect: Show) -> None:
        """Log it line by line, with room for the other triggers in between."""
        lines = effect.text.splitlines()
        self._budget.spend(self.job["job_id"], len(lines))
        for number, line in enumerate(lines, 1):
            self.log.info("%s", line)
            if number % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        with suppress(Exception):  # a cursor that is lost repeats lines, it must not cost the job
            await self._remember(effect.cursor)

    async def _shown(self) -> str:
        """The last log chunk that an earlier life of this trigger has shown."""
        from airflow.sdk.execution_time.xcom import XCom

        ti = self.task_instance
        if ti is None:
            return ""  # dag.test()
        found = None
        with suppress(Exception):
            found = await XCom.aget_one(
                key=XCOM_LOG_CURSOR, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
            )
        if not isinstance(found, dict) or found.get("job_id") != self.job.get("job_id"):
            return ""
        return str(found.get("cursor", ""))

    async def _remember(self, cursor: str) -> None:
        from airflow.sdk.execution_time.xcom import XCom

        ti = self.task_instance
        if ti is None:
            return
        await XCom.aset(
            key=XCOM_LOG_CURSOR,
            value={"job_id": self.job.get("job_id"), "cursor": cursor},
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=ti.map_index,
        )

    async def on_kill(self) -> None:
        """Cancel the job when the task instance has really been taken away from it."""
        if not self.cancel_on_kill:
            return
        kill = asyncio.create_task(self._kill())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _kill(self) -> None:
        handle = JobHandle.from_dict(self.job)
        for _ in range(GUARD_ATTEMPTS):
            owner = await ownership(self.task_instance, handle.job_id)
            if owner is Ownership.OURS:
                return
            if owner is Ownership.LOST:
                await asyncio.to_thread(self._cancel, handle)
                return
            await asyncio.sleep(GUARD_PAUSE)
        self.log.warning("Nobody could say whether job %s is still wanted; it is left to `kinetic gc`", handle.job_id)

    def _cancel(self, handle: JobHandle) -> None:
        from airflow_provider_kinetic.hooks.kinetic import KineticHook

        hook = KineticHook.of(handle, self.kinetic_conn_id)
        if not hook.ports.cluster.status(handle).state.terminal:
            hook.cancel(handle, by="the task was cleared, failed or marked from outside")
            self.log.info("Job %s cancelled", handle.job_id)
