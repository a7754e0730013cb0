"""Waiting for the build of an image in the triggerer.

The same wait as in a worker (``lifecycle/building.py``), from any moment of the build: a triggerer that restarts goes
on with it. One deferral per try, and no event before the scheduler has settled the first leg (``airflow`` 0.5).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_kinetic.hooks.shared import ports_of
from airflow_provider_kinetic.hooks.task import XCOM_BUILD
from airflow_provider_kinetic.lifecycle.building import Inspect, wait_for
from airflow_provider_kinetic.lifecycle.effects import FINAL, ExecutionTimeout, Pause, Say
from airflow_provider_kinetic.model.images import Build, Image
from airflow_provider_kinetic.triggers import builds
from airflow_provider_kinetic.triggers.driver import drive
from airflow_provider_kinetic.triggers.guard import Holding
from airflow_provider_kinetic.triggers.guarded import GuardedTrigger

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports


class KineticBuildTrigger(GuardedTrigger):
    """Waits for the end of one build.

    The event is ``{"image": …}``, or ``{"error": …}`` where the build came to nothing.

    :param build: the build, as a dict. It holds no secret: trigger arguments are stored in clear text.
    :param kinetic_conn_id: where credentials come from.
    :param overrides: fields of the connection that the task gave itself.
    :param store_root: where claims and requests of images lie.
    :param poll: seconds between two looks.
    :param fire_after: Unix time before which the event is held back.
    :param timeout: Airflow's ``execution_timeout`` in seconds and the Unix time at which it is over.
    :param cancel_on_kill: whether a build that the task started ends with this trigger, or with the task's time.
    """

    def __init__(
        self,
        *,
        build: dict[str, Any],
        kinetic_conn_id: str,
        store_root: str,
        overrides: dict[str, Any] | None = None,
        poll: float = 5.0,
        fire_after: float = 0.0,
        timeout: list[float] | None = None,
        cancel_on_kill: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.build = build
        self.kinetic_conn_id = kinetic_conn_id
        self.store_root = store_root
        self.overrides = overrides or {}
        self.poll = poll
        self.fire_after = fire_after
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self._build = Build.from_dict(build)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = (
            *("build", "kinetic_conn_id", "store_root", "overrides"),
            *("poll", "fire_after", "timeout", "cancel_on_kill"),
        )
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            event = {"image": asdict(await self._image())}
        except FINAL as error:
            event = {"error": error.to_dict()}
        if (early := self.fire_after - time.time()) > 0:
            await asyncio.sleep(early)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _image(self) -> Image:
        ports = await self._ports()
        timeout = ExecutionTimeout(*self.timeout) if self.timeout else None
        waiting = wait_for(
            self._build,
            self.store_root,
            poll=self.poll,
            timeout=timeout,
            cancels=self.cancel_on_kill,
            note=self._note,
        )

        async def perform(effect: Any) -> Any:
            if isinstance(effect, Pause):
                return await asyncio.sleep(effect.seconds)
            if isinstance(effect, Say):
                return self.log.info("%s", effect.line)
            if isinstance(effect, Inspect):
                return await builds.status(ports, effect)
            return await asyncio.to_thread(effect.perform, ports)

        return await drive(waiting, perform)

    def _note(self, build: Build) -> None:
        self._build = build

    async def _ports(self) -> Ports:
        return await ports_of(self.kinetic_conn_id, self.overrides)

    @property
    def holding(self) -> Holding:
        """The build as the task has pushed it; who was cleared and starts anew may wait for the very same."""
        values = {name: self.build.get(name) for name in ("place", "tag", "number")}
        return Holding(f"the build of image {self._build.tag}", XCOM_BUILD, values)

    async def take_down(self) -> None:
        if not self._build.started_by_us:
            return
        ports = await self._ports()
        await asyncio.to_thread(ports.builder.cancel, self._build)
        self.log.info("The build of image %s, which this task started, is cancelled", self._build.tag)
