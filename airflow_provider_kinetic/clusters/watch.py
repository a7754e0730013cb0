"""One watch of Kinetic's Jobs and pods for everything in a process that follows jobs of one namespace.

Every follower of a job costs an entry in memory and nothing on the wire (``design`` 3.8): two streams tell of all jobs.
Watches are shared by event loop, :attr:`Access.key` and namespace, so two identities never see with each other's
rights. The first follower opens a watch, the last one closes it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_kinetic.clusters.access import Access
from airflow_provider_kinetic.clusters.base import Subscription
from airflow_provider_kinetic.clusters.clients import async_client
from airflow_provider_kinetic.clusters.kubernetes_api import paths
from airflow_provider_kinetic.clusters.watch_cache import Cache, Entry
from airflow_provider_kinetic.clusters.watch_events import Explainer
from airflow_provider_kinetic.clusters.watch_lookups import Lookups
from airflow_provider_kinetic.clusters.watch_objects import JOB, POD
from airflow_provider_kinetic.clusters.watch_stream import TIMING, Feed, ServerClock, Timing, problem_of
from airflow_provider_kinetic.model.errors import ClusterError, InfrastructureError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus

log = logging.getLogger(__name__)

POLLED = "pathways"
"""Backend of upstream's LeaderWorkerSets: few, and of another kind (contract 8.3)."""
PROOFS = 5
"""Times that pods are asked for to explain how a job ended."""
SETTLE = 0.05
"""Seconds: changes come in bursts (a pod ends, its Job counts it, its Job is complete), and one look serves all."""

AT_ONCE = 10
"""Followers that are told in one turn of the event loop: a few milliseconds of work for those who wait."""


class KubernetesWatcher:
    """Tells of changes of the Jobs of one namespace (:class:`~airflow_provider_kinetic.clusters.base.Watcher`)."""

    def __init__(self, access: Access, namespace: str, timing: Timing = TIMING) -> None:
        self._access, self._namespace, self._timing = access, namespace, timing
        self._shared_by = (access.key, namespace)

    def follow(self, handle: JobHandle) -> AbstractAsyncContextManager[Subscription] | None:
        """Follow a job; None for upstream's LeaderWorkerSets, which are polled."""
        return None if handle.backend == POLLED else self._following(handle.k8s_name)

    @asynccontextmanager
    async def _following(self, name: str) -> AsyncIterator[Subscription]:
        loop = asyncio.get_running_loop()
        for left in [key for key in _watches if key[0].is_closed()]:
            del _watches[left]
        key = (loop, *self._shared_by)
        watch = _watches.get(key) or _watches.setdefault(key, _Watch(self._access, self._namespace, self._timing))
        follower = watch.add(name)
        try:
            yield follower
        finally:
            if watch.remove(follower):
                _watches.pop(key)
                await _surely(watch.close())


_Key = tuple[asyncio.AbstractEventLoop, tuple[str, ...], str]
_watches: dict[_Key, _Watch] = {}
_closing: set[asyncio.Task[None]] = set()


async def _surely(closing: Coroutine[Any, Any, None]) -> None:
    """To its end, also where whoever waits for it is cancelled again and again."""
    task = asyncio.create_task(closing)
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    await asyncio.shield(task)


class _Settling:
    """Followers whose jobs have changed, told after a moment, in order and a few at a time."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, _Follower]] = deque()

    def add(self, follower: _Follower) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + SETTLE, follower))
        if len(self._waiting) == 1:
            loop.call_later(SETTLE, self._tell)

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for _ in range(AT_ONCE):
            if not self._waiting or self._waiting[0][0] > now:
                break
            self._waiting.popleft()[1].tell()
        if self._waiting:
            loop.call_at(self._waiting[0][0], self._tell)


class _Follower:
    """One subscription."""

    def __init__(self, watch: _Watch, entry: Entry) -> None:
        self.entry = entry
        self._watch = watch
        self._changed = asyncio.Event()
        self._stirred = False
        entry.followers.append(self.stir)

    def stir(self) -> None:
        if not self._stirred:
            self._stirred = True
            self._watch.settling.add(self)

    def tell(self) -> None:
        if self._stirred:
            self._changed.set()

    async def status(self) -> JobStatus:
        self._stirred = False
        self._changed.clear()
        return await self._watch.status(self.entry)

    async def changed(self, longest: float | None = None) -> None:
        if self.entry.fetched_at is not None:  # nothing will tell of it
            longest = min(self._watch.timing.unwatched, self._watch.timing.unwatched if longest is None else longest)
        # No `asyncio.timeout`: it cancels, and swallows the message of a cancellation that comes at the same moment, by
        # which a trigger knows that its task was taken away.
        timer = None if longest is None else asyncio.get_running_loop().call_later(longest, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()
        if not self._stirred:
            self._changed.clear()  # only time has passed


@dataclass(frozen=True)
class _Part:
    """One side of the cache, as a feed's sink."""

    tell: Callable[[str, Any], None]
    only: Callable[[set[str]], None]


class _Watch:
    """Two feeds, the cache that they fill, and those who follow."""

    def __init__(self, access: Access, namespace: str, timing: Timing) -> None:
        self.timing = timing
        self.settling = _Settling()
        self._access, self._namespace = access, namespace
        self._cache = Cache()
        self._clock = ServerClock()
        self._followers: set[_Follower] = set()
        self._feeds: tuple[Feed, ...] = ()
        self._problem: InfrastructureError | None = None
        """Why not even a connection could be tried."""
        self._began = time.monotonic()
        self._lookups = Lookups(self._cache, self._clock, namespace)
        self._explainer = Explainer(self._lookups.events, timing)
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), context=Context())
        """In no trigger's context: what it logs is not about the job that happened to come first."""

    # Who follows.

    def add(self, name: str) -> _Follower:
        follower = _Follower(self, self._cache.entry(name))
        self._followers.add(follower)
        return follower

    def remove(self, follower: _Follower) -> bool:
        """True where that was the last one."""
        self._followers.discard(follower)
        entry = follower.entry
        entry.followers.remove(follower.stir)
        if not entry.followers:
            self._explainer.forget(entry)
        self._cache.release(entry)
        return not self._followers

    async def close(self) -> None:
        await self._lookups.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # What is known.

    async def status(self, entry: Entry) -> JobStatus:
        await self._hearing()
        if not (entry.known or entry.gone) or self._stale(entry):
            await self._lookups.job(entry)
        status = entry.status(self._clock.now())
        if status.state.terminal and not entry.proved(status):
            status = await self._prove(entry)
        if status.state is JobState.PENDING:
            self._explainer.want(entry)
        else:
            self._explainer.forget(entry)
        return status

    def _stale(self, entry: Entry) -> bool:
        return entry.fetched_at is not None and time.monotonic() - entry.fetched_at > self.timing.unwatched / 2

    async def _hearing(self) -> None:
        """Wait for the first listing.

        :raises ClusterError: it does not come, or nothing has been heard for long.
        """
        until = self._began + self.timing.answer
        while not self._synced:
            refused = self._problem is not None or any(feed.refused for feed in self._feeds)
            left = until - time.monotonic()
            if refused or left <= 0:
                raise self._silence()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                pass
        if any(feed.lost for feed in self._feeds):
            raise self._silence()

    @property
    def _synced(self) -> bool:
        return bool(self._feeds) and all(feed.synced for feed in self._feeds)

    def _silence(self) -> InfrastructureError:
        problems = (self._problem, *(feed.problem for feed in self._feeds))
        return next(
            (problem for problem in problems if problem is not None),
            ClusterError(f"The API server {self._access.server} has not answered yet.", advice="It is asked again."),
        )

    async def _prove(self, entry: Entry) -> JobStatus:
        """How it ended, when its pod has told of it, or does not any more.

        :raises ClusterError: nobody could say, several times.
        """
        for left in reversed(range(PROOFS)):
            if await self._told(entry):
                break
            try:
                await self._lookups.pods(entry)
            except InfrastructureError:
                if not left:
                    raise
        return entry.status(self._clock.now())

    async def _told(self, entry: Entry) -> bool:
        """Wait for the pods' stream, which may be behind."""
        told = asyncio.Event()
        entry.followers.append(told.set)
        try:
            async with asyncio.timeout(self.timing.evidence):
                while not entry.proved(entry.status(self._clock.now())):
                    await told.wait()
                    told.clear()
            return True
        except TimeoutError:
            return False
        finally:
            entry.followers.remove(told.set)

    # The task of it all.

    async def _run(self) -> None:
        """For ever, whatever breaks: those who follow would wait in vain for a watch that has ended."""
        while True:
            self._began = time.monotonic()
            try:
                async with await self._connected() as client:
                    await self._hear(client)
            except Exception as error:
                self._problem = problem_of(error, self._access.server, "watch jobs.batch")
                self._stir_all()
                with suppress(Exception):  # logging itself may be what breaks
                    log.warning("%s It begins anew.", self._problem.summary, exc_info=error)
            await asyncio.sleep(self.timing.longest_pause)

    async def _hear(self, client: httpx.AsyncClient) -> None:
        """Until one of the tasks ends, which none ever should.

        :raises ClusterError: it did.
        """
        self._lookups.client = client
        parts = (
            (paths.jobs, "jobs.batch", JOB, _Part(self._cache.tell_job, self._cache.only_jobs)),
            (paths.pods, "pods", POD, _Part(self._cache.tell_pod, self._cache.only_pods)),
        )
        common = (self.timing, self._clock, self._stir_all)
        self._feeds = tuple(
            Feed(client, path(self._namespace), what, self._namespace, shape, part, *common)
            for path, what, shape, part in parts
        )
        endless = [*(feed.run() for feed in self._feeds), self._explainer.run()]
        tasks = [asyncio.create_task(each) for each in endless]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        task = ended.pop()
        raise ClusterError("The watch broke off.") from (None if task.cancelled() else task.exception())

    async def _connected(self) -> httpx.AsyncClient:
        """A TLS context is made in a thread: it reads files and takes its time."""
        while True:
            try:
                client = await asyncio.to_thread(async_client, self._access)
                self._problem = None
                return client
            except Exception as error:
                told, self._problem = self._problem, problem_of(error, self._access.server, "watch jobs.batch")
                if told is None:
                    self._stir_all()
            await asyncio.sleep(self.timing.longest_pause)

    def _stir_all(self) -> None:
        """All who wait for a first answer, and all followers: there is something new about the server itself."""
        self._news.set()
        self._news = asyncio.Event()
        for follower in self._followers:
            follower.stir()
