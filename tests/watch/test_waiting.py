"""Why jobs wait is known soon, and costs the same for one job and for hundreds."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from followers import TIMING, complete, following, reaches
from kube import Image

from airflow_provider_kinetic.model.status import JobState, Reason

MANY = 60


def test_a_refused_pod_is_explained(place, server):
    server.refuse_pods("exceeded quota: compute, requested: pods=1, used: pods=9, limited: pods=9")
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            return await reaches(subscription, lambda status: status.reason is Reason.QUOTA)

    assert "compute" in complete(scenario()).message


def test_an_autoscaler_that_is_at_work_is_told(place, server):
    server.unschedulable("0/1 nodes are available: 1 Insufficient google.com/tpu.")
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            await reaches(subscription, lambda status: status.reason is Reason.UNSCHEDULABLE)
            server.events.tell(
                place.pod(handle), "TriggeredScaleUp", "pod triggered scale-up: 1->2", component="cluster-autoscaler"
            )
            return await reaches(subscription, lambda status: status.reason is Reason.SCALING)

    assert "1->2" in complete(scenario()).message


def test_many_waiting_jobs_are_explained_by_few_requests(place, server):
    server.unschedulable("0/1 nodes are available: 1 Insufficient google.com/tpu.")
    handles = [place.submit() for _ in range(MANY)]

    async def scenario():
        watcher = place.watcher()
        async with AsyncExitStack() as stack:
            followed = [await stack.enter_async_context(following(watcher, handle)) for handle in handles]
            await asyncio.gather(*(reaches(each, lambda status: status.state is JobState.PENDING) for each in followed))
            for handle in handles:
                server.events.tell(place.pod(handle), "NotTriggerScaleUp", "max node group size reached", component="x")
            before = place.asked("list", "events")
            found = await asyncio.gather(
                *(reaches(each, lambda status: "node pool is at its maximum" in status.message) for each in followed)
            )
            return place.asked("list", "events") - before, found

    asked, _ = complete(scenario())
    assert asked < MANY / 2


def test_the_budget_of_events_is_that_of_the_watch_whatever_changes(place, server):
    server.unschedulable("0/1 nodes are available: 1 Insufficient google.com/tpu.")
    handles = [place.submit() for _ in range(10)]
    seconds = 2.0
    timing = replace(TIMING, events=0.5, explain=0.0)

    async def scenario():
        watcher = place.watcher(timing)
        async with AsyncExitStack() as stack:
            followed = [await stack.enter_async_context(following(watcher, handle)) for handle in handles]
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                for each in followed:
                    await each.status()
                await asyncio.sleep(0.05)

    complete(scenario())
    assert place.asked("list", "events") <= seconds / timing.events + 1


def test_queued_and_running_jobs_cost_nothing(place):
    queued, running = place.submit(queue="tpu"), place.submit()

    async def scenario():
        watcher = place.watcher()
        async with following(watcher, queued) as one, following(watcher, running) as other:
            status = await reaches(one, lambda status: status.reason is Reason.QUEUED)
            await reaches(other, lambda status: status.state is JobState.RUNNING)
            before = place.asked("list", "events")
            await asyncio.sleep(0.5)
            assert place.asked("list", "events") == before
            return status

    assert "tpu" in complete(scenario()).message


def test_events_that_may_not_be_read_cost_the_explanation_only(place, server):
    server.images["broken"] = Image(pull_error="not found")
    server.fail(verb="list", resource="events", times=1000, status=403, message="events is forbidden")
    handle = place.submit(image="broken")

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            status = await reaches(subscription, lambda status: status.reason is Reason.IMAGE)
            await asyncio.sleep(0.3)
            return status, await subscription.status()

    first, later = complete(scenario())
    assert first.reason is later.reason is Reason.IMAGE
