"""Looks at builds that all triggers of an event loop share.

A hundred tasks may wait for one image. What they ask is the same question, so it is asked once for all who ask at the
same time, and an answer of a moment ago will do for the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kinetic.lifecycle.building import Inspect
from airflow_provider_kinetic.model.images import Build, BuildStatus

if TYPE_CHECKING:
    from airflow_provider_kinetic.builders.base import ImageBuilder
    from airflow_provider_kinetic.lifecycle.ports import Ports

_Key = tuple[asyncio.AbstractEventLoop, int, str, str, int, str]


@dataclass(frozen=True)
class _Look:
    """``builder`` is held, so that its id in the key stays its own."""

    builder: ImageBuilder
    asked: asyncio.Task[BuildStatus]
    at: float

    def fits(self, age: float) -> bool:
        if not self.asked.done():
            return True
        well = not self.asked.cancelled() and self.asked.exception() is None
        return well and time.monotonic() - self.at < age


_looks: dict[_Key, _Look] = {}


async def status(ports: Ports, inspect: Inspect) -> BuildStatus:
    """The state of the build, or as it was answered to another trigger just now.

    :raises InfrastructureError: nobody answers.
    """
    key = _key(ports.builder, inspect.build)
    look = _looks.get(key)
    if look is None or not look.fits(inspect.poll / 2):
        _forget(time.monotonic())
        asked = asyncio.create_task(_ask(ports.builder, inspect.build))
        look = _looks[key] = _Look(ports.builder, asked, time.monotonic())
    return await asyncio.shield(look.asked)


async def _ask(builder: ImageBuilder, build: Build) -> BuildStatus:
    """A builder that can be awaited is; any other is asked in a thread. Its first use may block (``hooks/late.py``)."""
    look: Callable[[Build], Awaitable[BuildStatus]] | None = await asyncio.to_thread(getattr, builder, "look", None)
    return await (look(build) if look is not None else asyncio.to_thread(builder.status, build))


def _key(builder: ImageBuilder, build: Build) -> _Key:
    return (asyncio.get_running_loop(), id(builder), build.place, build.tag, build.number, build.id)


LIFETIME = 60.0
"""Seconds after which an answer is of no use to anybody."""


def _forget(now: float) -> None:
    for key in [key for key, look in _looks.items() if key[0].is_closed() or now - look.at > LIFETIME]:
        del _looks[key]
