"""What Airflow's loop costs by itself, on the machine of this run: a trigger that asks nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class SleepingTrigger(BaseTrigger):
    """Sleeps until all are woken."""

    woken: asyncio.Event | None = None
    """Of the loop of this process."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"name": self.name}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        self.log.info("%s sleeps", self.name)
        if SleepingTrigger.woken is None:
            SleepingTrigger.woken = asyncio.Event()
        await SleepingTrigger.woken.wait()
        yield TriggerEvent({})


def wake() -> float:
    """All at once; when that was, by the monotonic clock."""
    assert SleepingTrigger.woken is not None
    SleepingTrigger.woken.set()
    return time.monotonic()
