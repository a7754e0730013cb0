"""Observing a job in the triggerer.

The trigger drives the same description of an observation as the worker does
(:mod:`airflow_provider_kinetic.lifecycle.observe`). Where the cluster tells of changes it waits for those; where it has
to be asked, that happens in threads, so nothing blocks the event loop. One deferral per try: it fires when the job is
over or a deadline has passed, and not before the scheduler has settled the first leg (``airflow`` 0.5).

Where the job's image is still built, the trigger waits for that first and creates the job from the order that lies in
the store. It may be started again anywhere at any moment: the build is joined, the creation happens once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_kinetic.hooks.shared import shared_ports
from airflow_provider_kinetic.hooks.task import XCOM_HANDLE
from airflow_provider_kinetic.lifecycle.effects import ExecutionTimeout
from airflow_provider_kinetic.lifecycle.observe import Outcome, watch
from airflow_provider_kinetic.model.errors import InfrastructureError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.images import Build
from airflow_provider_kinetic.triggers.budget import LineBudget, RequestBudget
from airflow_provider_kinetic.triggers.cursor import Cursor
from airflow_provider_kinetic.triggers.driver import Driver
from airflow_provider_kinetic.triggers.guard import Holding
from airflow_provider_kinetic.triggers.guarded import GuardedTrigger
from airflow_provider_kinetic.triggers.heap import HEAP
from airflow_provider_kinetic.triggers.live_log import Budget, LiveLog

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports

FAREWELL = 2.0
"""Seconds for the last word to Airflow of a trigger that is being stopped."""

_budgets: dict[tuple[float, float], Budget] = {}


class KineticJobTrigger(GuardedTrigger):
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
    :param build: the build of the job's image, as a dict, which is waited for before that.
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
        build: dict[str, Any] | None = None,
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
        self.build = build
        self._build = Build.from_dict(build) if build else None
        self._cursor: Cursor | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = (
            *("job", "kinetic_conn_id", "poll", "fire_after", "timeout", "cancel_on_kill"),
            *("lines_per_second", "log_requests_per_second", "calm_heap_at", "create", "build"),
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
            handle,
            poll=self.poll,
            timeout=timeout,
            cancels=self.cancel_on_kill,
            create=self.create,
            build=self._build,
            note=self._note,
        )
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

    def _note(self, build: Build) -> None:
        self._build = build

    @property
    def holding(self) -> Holding:
        job_id = self.job["job_id"]
        return Holding(f"job {job_id}", XCOM_HANDLE, {"job_id": job_id})

    async def take_down(self) -> None:
        handle = JobHandle.from_dict(self.job)
        ports = await shared_ports(handle, self.kinetic_conn_id)
        await asyncio.to_thread(self._cancel, handle, ports)

    def _cancel(self, handle: JobHandle, ports: Ports) -> None:
        """Also a job that is still to come: the mark keeps it from being created."""
        from airflow_provider_kinetic.lifecycle import cleanup
        from airflow_provider_kinetic.model.status import JobState

        state = JobState.NOT_FOUND
        try:
            state = ports.cluster.status(handle).state
            to_come = self.create is not None and state is JobState.NOT_FOUND
            if to_come or not state.terminal:
                cleanup.cancel(ports, handle, by="the task was cleared, failed or marked from outside")
                self.log.info("Job %s cancelled", handle.job_id)
        finally:  # whether the cluster answers or not
            if state is JobState.NOT_FOUND and self._build is not None and self._build.started_by_us:
                ports.builder.cancel(self._build)
                self.log.info("The build of image %s, which this task started, is cancelled", self._build.tag)
