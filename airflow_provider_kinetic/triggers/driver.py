"""The triggerer's driver of an observation: every effect is awaited, and nothing in here blocks.

A job that is followed answers from memory, and a pause lasts until it changes. One that has to be asked is asked in a
thread. Either way the description of the observation is the worker's
(:func:`airflow_provider_kinetic.lifecycle.observe.watch`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_kinetic.lifecycle.building import Inspect
from airflow_provider_kinetic.lifecycle.effects import Pause, Say, Show, Wait
from airflow_provider_kinetic.lifecycle.observe import Effect, Look, Outcome, Tail, Watch
from airflow_provider_kinetic.model.errors import KineticError
from airflow_provider_kinetic.triggers import builds
from airflow_provider_kinetic.triggers.budget import LineBudget
from airflow_provider_kinetic.triggers.cursor import Cursor
from airflow_provider_kinetic.triggers.live_log import LiveLog

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.base import Subscription
    from airflow_provider_kinetic.lifecycle.ports import Ports

T = TypeVar("T")

LINES_AT_ONCE = 100
"""Log lines that are written without a look at what else is to be done: a few milliseconds."""


async def drive(waiting: Wait[T], perform: Callable[[Any], Awaitable[Any]]) -> T:
    """Have each effect of a wait performed, to its end."""
    try:
        effect = next(waiting)
        while True:
            try:
                answer = await perform(effect)
            except KineticError as error:
                effect = waiting.throw(error)
            else:
                effect = waiting.send(answer)
    except StopIteration as stop:
        value: T = stop.value
        return value


class Driver:
    """One observation of one job.

    :param subscription: None for a job that has to be asked about.
    :param say: writes a line into the task's log, with ``%s`` and its value.
    """

    def __init__(
        self,
        ports: Ports,
        subscription: Subscription | None,
        live_log: LiveLog,
        cursor: Cursor,
        lines: LineBudget,
        say: Callable[[str, str], object],
    ) -> None:
        self._ports, self._subscription, self._live_log = ports, subscription, live_log
        self._cursor, self._lines, self._say = cursor, lines, say
        self._tailed = False
        """Output was wanted since the last pause."""

    async def drive(self, watching: Watch) -> Outcome:
        return await drive(watching, self._perform)

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Say):
            return self._say("%s", effect.line)
        if isinstance(effect, Pause):
            return await self._pause(effect)
        if isinstance(effect, Show):
            return await self._show(effect)
        if isinstance(effect, Tail):
            self._tailed = True
            return await self._live_log.take(effect)
        if isinstance(effect, Look) and self._subscription is not None:
            return await self._subscription.status()
        if isinstance(effect, Inspect):
            return await builds.status(self._ports, effect)
        return await asyncio.to_thread(effect.perform, self._ports)

    async def _pause(self, pause: Pause) -> None:
        tailed, self._tailed = self._tailed, False
        await self._cursor.save()
        if self._subscription is None:
            await asyncio.sleep(pause.seconds)
            return
        times = (pause.longest, self._cursor.due_in, self._live_log.due_in if tailed else None)
        changed = self._subscription.changed(min((each for each in times if each is not None), default=None))
        if tailed and self._live_log.reading is not None:
            await _first(asyncio.create_task(changed), self._live_log.reading)
        else:
            await changed

    async def _show(self, show: Show) -> None:
        """Log it line by line, with room for the other triggers in between."""
        lines = show.text.splitlines()
        self._lines.spend(self._live_log.job_id, len(lines))
        for number, line in enumerate(lines, 1):
            self._say("%s", line)
            if number % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._cursor.move(show.cursor)


async def _first(change: asyncio.Task[None], reading: asyncio.Task[Any]) -> None:
    """Wait for either; the reading goes on."""
    try:
        await asyncio.wait([change, reading], return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
        await asyncio.wait([change])
