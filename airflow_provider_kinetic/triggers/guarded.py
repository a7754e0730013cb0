"""Triggers whose end takes something down: only when their task instance has really been taken away.

Airflow calls ``on_kill`` also when a stalled triggerer merely lost its triggers to another one (``airflow`` 0.3), so
the question goes to Airflow first; and it cancels the call itself after a second (``airflow`` 0.2), so what is to be
done is done in a task of its own, shielded.
"""

from __future__ import annotations

import asyncio

from airflow.triggers.base import BaseTrigger

from airflow_provider_kinetic.triggers.guard import Holding, Ownership, ownership

GUARD_ATTEMPTS = 5
GUARD_PAUSE = 20.0
"""Seconds between two questions to whom it belongs, while nobody answers."""

_kills: set[asyncio.Task[None]] = set()


class GuardedTrigger(BaseTrigger):
    """Base of triggers that cancel what they wait for.

    Subclasses set ``cancel_on_kill`` in their constructors.
    """

    cancel_on_kill: bool

    @property
    def holding(self) -> Holding:
        """What the task instance has written down of what it waits for."""
        raise NotImplementedError

    async def take_down(self) -> None:
        """Cancel what the trigger waits for."""
        raise NotImplementedError

    async def on_kill(self) -> None:
        """Cancel it when the task instance has really been taken away."""
        if not self.cancel_on_kill:
            return
        kill = asyncio.create_task(self._kill())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _kill(self) -> None:
        for _ in range(GUARD_ATTEMPTS):
            owner = await ownership(self.task_instance, self.holding)
            if owner is Ownership.OURS:
                return
            if owner is Ownership.LOST:
                await self.take_down()
                return
            await asyncio.sleep(GUARD_PAUSE)
        self.log.warning("Nobody could say whether %s is still wanted: it is left as it is", self.holding.what)
