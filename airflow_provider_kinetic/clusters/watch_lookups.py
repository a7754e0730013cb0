"""Requests about single jobs, where the watch cannot know: few, shared by all who want to know, few at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from airflow_provider_kinetic.clusters import kubernetes_api as api
from airflow_provider_kinetic.clusters.kubernetes_api import paths
from airflow_provider_kinetic.clusters.watch_cache import Cache, Entry
from airflow_provider_kinetic.clusters.watch_objects import JOB, POD, pruned
from airflow_provider_kinetic.clusters.watch_stream import ServerClock, problem_of
from airflow_provider_kinetic.model.kubernetes.objects import entries

AT_ONCE = 8
"""Requests that are under way."""
FETCHED = "FETCHED"


class Lookups:
    """What they find goes into the cache. ``client`` is set before anybody asks."""

    client: httpx.AsyncClient

    def __init__(self, cache: Cache, clock: ServerClock, namespace: str) -> None:
        self._cache, self._clock, self._namespace = cache, clock, namespace
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def job(self, entry: Entry) -> None:
        """Ask for the Job: only that decides that there is none.

        :raises InfrastructureError: no answer, or a refusal; so do all of these.
        """
        await self._once(f"job {entry.name}", lambda: self._job(entry))

    async def pods(self, entry: Entry) -> None:
        """Ask for the pods of a Job that is over."""
        await self._once(f"pods {entry.name}", lambda: self._pods(entry))

    async def events(self, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of events."""
        return await self._get(paths.events(self._namespace), query, "list events") or {}

    async def close(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _once(self, what: str, ask: Callable[[], Awaitable[None]]) -> None:
        """All who want the same share one request."""
        task = self._under_way.get(what)
        if task is None:
            task = self._under_way[what] = asyncio.create_task(self._limited(ask))
            task.add_done_callback(lambda done: self._done(what, done))
        await asyncio.shield(task)

    def _done(self, what: str, task: asyncio.Task[None]) -> None:
        """Whoever asked may have left before the answer, which is no reason for a warning."""
        self._under_way.pop(what, None)
        if not task.cancelled():
            task.exception()

    async def _limited(self, ask: Callable[[], Awaitable[None]]) -> None:
        async with self._places:
            await ask()

    async def _job(self, entry: Entry) -> None:
        if entry.known and entry.fetched_at is None:
            return  # the watch has told of it meanwhile
        job = await self._get(paths.job(self._namespace, entry.name), {}, "get jobs.batch")
        if job is None:
            if entry.fetched_at is not None:  # the watch knows of no other that was made since
                entry.lose()
            return
        pods = await self._get(paths.pods(self._namespace), paths.of_job(entry.name), "list pods")
        watched = entry.known and entry.fetched_at is None
        self._cache.tell_job(FETCHED, pruned(job, JOB))
        for pod in entries(pods, "items"):
            self._cache.tell_pod(FETCHED, pruned(pod, POD))
        entry.fetched_at = None if watched else time.monotonic()

    async def _pods(self, entry: Entry) -> None:
        pods = await self._get(paths.pods(self._namespace), paths.of_job(entry.name), "list pods")
        for pod in entries(pods, "items"):
            self._cache.tell_pod(FETCHED, pruned(pod, POD))
        entry.confirmed = True

    async def _get(self, path: str, query: Mapping[str, str], what: str) -> dict[str, Any] | None:
        """None where there is no such object."""
        try:
            response = await self.client.get(path, params=query)
            self._clock.hear(response)
            if response.status_code == httpx.codes.NOT_FOUND and what.startswith("get "):
                return None
            return api.read(response, what, self._namespace)
        except Exception as error:
            raise problem_of(error, str(self.client.base_url), what) from error
