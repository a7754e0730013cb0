"""Parts that are made when they are first used: reading a result asks nothing about a cluster.

Making one may look up a cluster or run a program, so an event loop does it in a thread, and a cluster that cannot be
looked up just now is one that does not answer: an observation goes on and tries again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar, cast

from airflow_provider_kinetic.clusters.base import Subscription, Watcher
from airflow_provider_kinetic.model.errors import InfrastructureError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobStatus

T = TypeVar("T")

AGAIN = 10.0
"""Seconds after which what could not be made is tried again, once for all who wait for it."""


def late(make: Callable[[], T]) -> T:
    """Stands for an object that is made when one of its methods is first used; that may block."""
    return cast("T", _Late(make))


class _Late:
    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._making = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Of the real object. One that could not be made is tried again at the next use."""
        with self._making:
            made = self.__dict__.get("_made")
            if made is None:
                made = self.__dict__["_made"] = self._make()
        return getattr(made, name)


class LateWatcher:
    """A :class:`~airflow_provider_kinetic.clusters.base.Watcher` that is made, in a thread, for its first follower.

    :param make: makes the real one; may block.
    :param polled: backend of jobs that no watcher follows.
    """

    def __init__(self, make: Callable[[], Watcher], *, polled: str, again: float = AGAIN) -> None:
        self._make, self._polled, self._again = make, polled, again
        self._opening: asyncio.Task[Watcher] | None = None
        self._failed_at = 0.0

    def follow(self, handle: JobHandle) -> AbstractAsyncContextManager[Subscription] | None:
        return None if handle.backend == self._polled else self._following(handle)

    @asynccontextmanager
    async def _following(self, handle: JobHandle) -> AsyncIterator[Subscription]:
        async with AsyncExitStack() as stack:
            yield _Follower(self, handle, stack)

    async def opened(self) -> Watcher:
        """The real one.

        :raises InfrastructureError: it cannot be made now.
        """
        if self._opening is None or self._may_try_again():
            self._opening = asyncio.get_running_loop().create_task(asyncio.to_thread(self._make))
            self._opening.add_done_callback(self._note)
        return await asyncio.shield(self._opening)

    def _may_try_again(self) -> bool:
        return self._failed_at > 0 and time.monotonic() - self._failed_at >= self._again

    def _note(self, done: asyncio.Task[Watcher]) -> None:
        failed = done.cancelled() or done.exception() is not None
        self._failed_at = time.monotonic() if failed else 0.0


class _Follower:
    """A subscription that begins when the watcher is there."""

    def __init__(self, watcher: LateWatcher, handle: JobHandle, stack: AsyncExitStack) -> None:
        self._watcher, self._handle, self._stack = watcher, handle, stack
        self._real: Subscription | None = None

    async def status(self) -> JobStatus:
        if self._real is None:
            following = (await self._watcher.opened()).follow(self._handle)
            if following is None:
                raise InfrastructureError(f"Job {self._handle.job_id} cannot be followed.")
            self._real = await self._stack.enter_async_context(following)
        return await self._real.status()

    async def changed(self, longest: float | None = None) -> None:
        if self._real is None:
            await asyncio.sleep(AGAIN if longest is None else min(AGAIN, longest))
        else:
            await self._real.changed(longest)
