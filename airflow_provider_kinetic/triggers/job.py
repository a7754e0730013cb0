"""Observing a job in the triggerer.

The trigger drives the same description of an observation as the worker does
(:mod:`airflow_provider_kinetic.lifecycle.observe`). Where the cluster tells of changes it waits for those; where it has
to be asked, that happens in threads, so nothing blocks the event loop. One deferral per try: it fires when the job is
over or a deadline has passed, and not before the scheduler has settled the first leg (``airflow`` 0.5).

Killing is guarded, because Airflow calls ``on_kill`` also when a stalled triggerer merely lost its
triggers to another one (``airflow`` 0.3), and shielded, because it cancels the call itself after a second
(``airflow`` 0.2).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_kinetic.hooks.shared import shared_ports
from airflow_provider_kinetic.lifecycle.effects import ExecutionTimeout
from airflow_provider_kinetic.lifecycle.observe import Outcome, watch
from airflow_provider_kinetic.model.errors import InfrastructureError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.triggers.budget import LineBudget, RequestBudget
from airflow_provider_kinetic.triggers.cursor import Cursor
from airflow_provider_kinetic.triggers.driver import Driver
from airflow_provider_kinetic.triggers.guard import Ownership, ownership
from airflow_provider_kinetic.triggers.heap import HEAP
from airflow_provider_kinetic.triggers.live_log import Budget, LiveLog

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports

GUARD_ATTEMPTS = 5
GUARD_PAUSE = 20.0
"""Seconds between two questions to whom a job belongs, while nobody answers."""

FAREWELL = 2.0
"""Seconds for the last word to Airflow of a trigger that is being stopped."""

_kills: set[asyncio.Task[None]] = set()
_budgets: dict[tuple[float, float], Budget] = {}


class KineticJobTrigger(BaseTrigger):
    """Waits for the end of one job.

    :param job: the handle, as a dict. It holds no secret: trigger arguments are stored in clear text.
    :param kinetic_conn_id: where credentials come from.
    :param poll: seconds between two looks at a job of a cluster that has to be asked.
    :param fire_after: Unix time before which the event is held back.
    :param timeout: Airflow's ``execution_timeout`` in seconds and the Unix time at which it is over.
    :param cancel_on_kill: whether the job dies with this trigger. False for a job that another task submitted.
    :param lines_per_second: budget of log lines for all triggers of the process.
    :param log_requests_per_second: the same of requests for output; 0: the output is not shown while deferred.
    :param calm_heap_at: jobs from which on the process's garbage collections leave out old objects; 0: never.
    :param create: URI of a manifest in the store: the job is created from it first, once whatever happens.
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
        log_requests_per_second: float = 10.0,
        calm_heap_at: int = 2000,
        create: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job = job
        self.kinetic_conn_id = kinetic_conn_id
        self.poll = poll
        self.fire_after = fire_after
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.lines_per_second = lines_per_second
        self.log_requests_per_second = log_requests_per_second
        self.calm_heap_at = calm_heap_at
        self.create = create
        self._cursor: Cursor | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = (
            *("job", "kinetic_conn_id", "poll", "fire_after", "timeout", "cancel_on_kill"),
            *("lines_per_second", "log_requests_per_second", "calm_heap_at", "create"),
        )
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        handle = JobHandle.from_dict(self.job)
        with HEAP.observing(self.calm_heap_at):
            outcome = await self._outcome(handle)
        if (early := self.fire_after - time.time()) > 0:
            await asyncio.sleep(early)
        yield TriggerEvent(outcome.to_dict())  # type: ignore[no-untyped-call]

    async def _outcome(self, handle: JobHandle) -> Outcome:
        """A job that cannot be reached any more is observed once again by what the connection says meanwhile."""
        self._cursor = Cursor(self.task_instance, handle.job_id)
        ports = await shared_ports(handle, self.kinetic_conn_id)
        try:
            return await self._observe(handle, ports, self._cursor)
        except InfrastructureError:
            newer = await shared_ports(handle, self.kinetic_conn_id)
            if newer is ports:
                raise
        return await self._observe(handle, newer, self._cursor)

    async def _observe(self, handle: JobHandle, ports: Ports, cursor: Cursor) -> Outcome:
        timeout = ExecutionTimeout(*self.timeout) if self.timeout else None
        watching = watch(
            handle, poll=self.poll, timeout=timeout, cancels=self.cancel_on_kill, create=self.create
        )  # fmt: skip
        live_log = LiveLog(ports, handle.job_id, cursor, self._budget, self.poll)
        followed = ports.watcher.follow(handle) if ports.watcher else None
        try:
            async with followed or nullcontext() as subscription:
                driver = Driver(ports, subscription, live_log, cursor, self._budget.lines, self.log.info)
                return await driver.drive(watching)
        finally:
            await live_log.close()

    @property
    def _budget(self) -> Budget:
        """The one budget of this process."""
        rates = (self.lines_per_second, self.log_requests_per_second)
        return _budgets.setdefault(rates, Budget(LineBudget(rates[0]), RequestBudget(rates[1])))

    async def cleanup(self) -> None:
        """Whatever ends it: what it has shown is shown once."""
        if self._cursor is not None and self._cursor.due_in is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._cursor.save(at_once=True), FAREWELL)

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
                ports = await shared_ports(handle, self.kinetic_conn_id)
                await asyncio.to_thread(self._cancel, handle, ports)
                return
            await asyncio.sleep(GUARD_PAUSE)
        self.log.warning("Nobody could say whether job %s is still wanted; it is left to `kinetic gc`", handle.job_id)

    def _cancel(self, handle: JobHandle, ports: Ports) -> None:
        from airflow_provider_kinetic.lifecycle import cleanup

        if not ports.cluster.status(handle).state.terminal:
            cleanup.cancel(ports, handle, by="the task was cleared, failed or marked from outside")
            self.log.info("Job %s cancelled", handle.job_id)
