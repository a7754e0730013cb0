"""What is asked for one by one never hides what the watch tells meanwhile."""

from __future__ import annotations

import asyncio

import httpx
from kubernetes_objects import JOB as NAME
from kubernetes_objects import NOW, a_job, a_pod, failed, running, terminated

from airflow_provider_kinetic.clusters.watch_cache import Cache, Entry
from airflow_provider_kinetic.clusters.watch_lookups import Lookups
from airflow_provider_kinetic.clusters.watch_stream import ServerClock
from airflow_provider_kinetic.model.status import JobState


def version(obj, number, **metadata):
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(number), **metadata}}


def looked_up(cache, entry, answer, what):
    """One look at the job or its pods, that a server answers with ``answer()``."""

    async def scenario():
        lookups = Lookups(cache, ServerClock(), "default")
        transport = httpx.MockTransport(lambda _: answer())
        async with httpx.AsyncClient(transport=transport, base_url="https://server") as lookups.client:
            await getattr(lookups, what)(entry)

    asyncio.run(scenario())


def followed(cache) -> Entry:
    entry = cache.entry(NAME)
    entry.followers.append(lambda: None)
    return entry


def test_a_job_that_is_made_while_the_answer_is_on_its_way_is_there():
    cache = Cache()
    entry = followed(cache)

    def answer():
        cache.tell_job("ADDED", version(a_job(), 1))
        return httpx.Response(404, json={"kind": "Status", "reason": "NotFound"})

    looked_up(cache, entry, answer, "job")

    assert entry.status(NOW).state is JobState.PENDING


def test_a_pod_that_ends_while_a_list_is_on_its_way_has_ended():
    cache = Cache()
    entry = followed(cache)
    cache.tell_job("ADDED", version(failed(), 1))
    before, after = (
        version(pod, number, name="pod-a", uid="a", labels={"job-name": NAME})
        for number, pod in ((2, a_pod("Running", running())), (3, a_pod("Failed", terminated(7))))
    )

    def answer():
        cache.tell_pod("MODIFIED", after)
        return httpx.Response(200, json={"kind": "PodList", "items": [before]})

    looked_up(cache, entry, answer, "pods")

    assert entry.status(NOW).exit_code == 7
