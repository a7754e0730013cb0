"""What Airflow's loop costs by itself, on the machine of this run: a trigger that does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class SleepingTrigger(BaseTrigger):
    """Sleeps until it is cancelled."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"name": self.name}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        self.log.info("%s sleeps", self.name)
        await asyncio.Event().wait()
        yield TriggerEvent({})
