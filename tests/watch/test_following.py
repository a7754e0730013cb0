"""Jobs are followed to their ends through two streams, whatever their number."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from followers import TIMING, Place, complete, following, reaches, until

from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.clusters.watch import KubernetesWatcher
from airflow_provider_kinetic.model.status import JobState

JOBS = 20


def test_a_job_is_followed_to_its_end(place):
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            running = await reaches(subscription, lambda status: status.state is JobState.RUNNING)
            place.finish(handle)
            over = await reaches(subscription, lambda status: status.state.terminal)
        return running, over

    running, over = complete(scenario())

    assert running.started_at is not None
    assert (over.state, over.exit_code, over.attempts) == (JobState.SUCCEEDED, 0, 1)
    assert over.finished_at is not None


def test_a_cancellation_that_comes_with_the_end_of_a_pause_keeps_its_message(place):
    """By the message a trigger knows that its task was taken away from it, and ends the job."""
    handle = place.submit()
    pause = 0.02

    async def scenario():
        messages = []
        async with following(place.watcher(), handle) as subscription:
            await reaches(subscription, lambda status: status.state is JobState.RUNNING)
            for _ in range(20):
                waiting = asyncio.create_task(subscription.changed(pause))
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_later(pause, waiting.cancel, "by a user")
                try:
                    await waiting
                except asyncio.CancelledError as cancelled:
                    messages.append(cancelled.args)
        return messages

    assert set(complete(scenario())) <= {("by a user",)}


def test_many_followers_cost_two_streams_and_the_last_one_closes_them(place, server):
    handles = [place.submit() for _ in range(JOBS)]

    async def scenario():
        watcher = place.watcher()
        async with AsyncExitStack() as stack:
            followed = [await stack.enter_async_context(following(watcher, handle)) for handle in handles * 2]
            await asyncio.gather(*(reaches(each, lambda status: status.state is JobState.RUNNING) for each in followed))
            await until(lambda: server.requests.open_watches == 2)
            asked = len(server.requests)
            for handle in handles:
                place.finish(handle)
            await asyncio.gather(*(reaches(each, lambda status: status.state.terminal) for each in followed))
            assert len(server.requests) == asked, "what happens is told, not asked for"
        await until(lambda: server.requests.open_watches == 0)

    complete(scenario())
    assert place.asked("get") == 0
    pages = -(-JOBS // 7)
    assert place.asked("list", "jobs") == place.asked("list", "pods") == pages


def test_a_watch_that_was_closed_is_opened_again(place, server):
    handle = place.submit()

    async def scenario():
        watcher = place.watcher()
        for _ in range(2):
            async with following(watcher, handle) as subscription:
                await reaches(subscription, lambda status: status.state is JobState.RUNNING)
            await until(lambda: server.requests.open_watches == 0)

    complete(scenario())
    assert place.asked("list", "jobs") == 2


def test_each_event_loop_has_its_own(place):
    """As a triggerer that was restarted: everything begins again, and ends as if nothing had been."""
    handle = place.submit()
    watcher = place.watcher()

    async def scenario(condition):
        async with following(watcher, handle) as subscription:
            return await reaches(subscription, condition)

    assert complete(scenario(lambda status: status.state is JobState.RUNNING)).attempts == 1
    place.finish(handle)
    for _ in range(2):
        assert complete(scenario(lambda status: status.state.terminal)).state is JobState.SUCCEEDED


def test_a_change_wakes_those_whom_it_concerns(place):
    quiet, busy = place.submit(), place.submit()

    async def scenario():
        watcher = place.watcher()
        async with following(watcher, quiet) as one, following(watcher, busy) as other:
            for each in (one, other):
                await reaches(each, lambda status: status.state is JobState.RUNNING)
            await asyncio.sleep(0.3)  # the last changes of the start
            await one.status()
            waiting = asyncio.create_task(one.changed())
            place.finish(busy)
            await reaches(other, lambda status: status.state.terminal)
            assert not waiting.done()
            place.finish(quiet)
            await waiting

    complete(scenario())


def test_a_job_that_was_deleted_is_not_found_and_a_pod_of_it_changes_nothing(place):
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            await reaches(subscription, lambda status: status.state is JobState.RUNNING)
            place.delete(handle)
            return await reaches(subscription, lambda status: status.state.terminal)

    assert complete(scenario()).state is JobState.NOT_FOUND
    assert place.asked("get") == 0


def test_a_job_that_never_was_is_asked_for_once_before_that_is_said(place):
    handle = place.handle("job-nowhere")

    async def scenario():
        watcher = place.watcher()
        async with AsyncExitStack() as stack:
            followed = [await stack.enter_async_context(following(watcher, handle)) for _ in range(5)]
            return await asyncio.gather(*(each.status() for each in followed))

    assert {status.state for status in complete(scenario())} == {JobState.NOT_FOUND}
    assert place.asked("get", "jobs") == 1


def test_a_job_that_the_watch_cannot_see_is_asked_for_now_and_then(place, server):
    """Somebody took its label away, which looks like a deletion; or it never had one."""
    from kube.resources import JOBS as RESOURCE

    handle = place.submit()

    async def scenario():
        await until(lambda: place.running(handle))
        server.store.mutate(
            RESOURCE, "default", handle.k8s_name, lambda job: job["metadata"]["labels"].pop("app", None)
        )  # fmt: skip
        async with following(place.watcher(), handle) as subscription:
            assert (await subscription.status()).state is JobState.RUNNING
            place.finish(handle)
            return await reaches(subscription, lambda status: status.state.terminal)

    assert complete(scenario()).state is JobState.SUCCEEDED


def test_upstreams_groups_are_polled(place):
    assert place.watcher().follow(place.handle("job-1", backend="pathways")) is None


def test_a_follower_that_is_cancelled_again_and_again_closes_what_it_opened(place, server):
    handle = place.submit()

    async def scenario():
        async def follow():
            async with following(place.watcher(), handle) as subscription:
                await reaches(subscription, lambda status: status.state.terminal)

        task = asyncio.create_task(follow())
        await until(lambda: server.requests.open_watches == 2)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        await until(lambda: server.requests.open_watches == 0)

    complete(scenario())


def test_namespaces_and_identities_never_share(server):
    """P9: one identity may not see what the other sees, on the same server and in the same loop."""
    from kube import Rule

    place = Place(server)
    rights = [Rule(verbs=("list", "watch", "get"), resources=("jobs", "pods"))]
    rich, poor = server.token("rich", rights), server.token("poor", [])
    handle = place.submit()

    async def scenario():
        allowed = place.watcher(token=rich, identity="rich")
        forbidden = place.watcher(token=poor, identity="poor")
        async with following(allowed, handle) as one, following(forbidden, handle) as other:
            assert (await reaches(one, lambda status: status.state is JobState.RUNNING)).attempts == 1
            try:
                await other.status()
            except Exception as error:
                return error

    error = complete(scenario())
    assert "Missing permission: list" in str(error)
    assert {request.user for request in server.requests if request.status == 200} == {"rich"}


def test_what_takes_its_time_is_done_in_threads(place, server):
    """A TLS context reads files, and a token may come from a program."""

    def outside() -> None:
        assert asyncio._get_running_loop() is None, "in the event loop"

    class Watched(Access):
        def tls(self):
            outside()
            return super().tls()

    def fetch():
        outside()
        return Token(server.admin, time.time() + 0.1)

    tokens = TokenSource(fetch)
    access = Watched(server.url, "slow", authority=server.authority.decode(), tokens=tokens)
    handle = place.submit()

    async def scenario():
        async with following(KubernetesWatcher(access, "default", TIMING), handle) as subscription:
            await reaches(subscription, lambda status: status.state is JobState.RUNNING)
            await asyncio.sleep(0.2)
            server.cut()
            place.finish(handle)
            return await reaches(subscription, lambda status: status.state.terminal)

    assert complete(scenario()).state is JobState.SUCCEEDED
