"""Whatever happens to the connection, the end of a job is noticed, and the server is not stormed."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace

import pytest
from followers import TIMING, complete, following, over, reaches, running, until
from kube import KubeServer

from airflow_provider_kinetic.clusters import watch_stream
from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.clusters.watch import KubernetesWatcher
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.status import JobState

pytestmark = pytest.mark.faults


def expired(place):
    place.server.expire()


def expired_between(place):
    """The watch breaks off, and meanwhile its version becomes too old: the answer is 410."""
    place.server.fail(verb="watch", times=2, status=410, reason="Expired")
    place.server.cut()


def expired_pages(place):
    place.server.fail(verb="list", times=2, status=410, reason="Expired")
    place.server.expire()


def failing(status, **more):
    def fault(place):
        place.server.fail(verb="watch", times=3, status=status, **more)
        place.server.fail(verb="list", times=3, status=status, **more)
        place.server.cut()

    return fault


def reset(place):
    place.server.cut()


def dropped(place):
    """Watches that end before or within an answer, also in the middle of a line."""
    place.server.fail(verb="watch", times=2, drop="before")
    place.server.fail(verb="list", times=2, drop="during")
    place.server.expire()


def silent(place):
    """Connections that open and never say a word."""
    place.server.fail(verb="watch", times=2, silent=True)
    place.server.cut()


def away(place):
    place.server.away(1.0)


def late(place):
    """Pods are told of long after their Jobs."""
    place.server.fail(verb="watch", resource="pods", times=1, lag=1.5)
    place.server.cut()


FAULTS = {
    "410 as an event": expired,
    "410 as an answer": expired_between,
    "410 in a listing": expired_pages,
    "429": failing(429, reason="TooManyRequests", retry_after=1),
    "500": failing(500),
    "503": failing(503),
    "504 for a version that the server does not have": failing(504),
    "401 for a while": failing(401),
    "reset": reset,
    "dropped": dropped,
    "silent": silent,
    "away": away,
    "pods later than Jobs": late,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_follower_notices_nothing_of(fault, place, server):
    first, second = place.submit(), place.submit()
    timing = replace(TIMING, silence=1.0)

    async def scenario():
        watcher = place.watcher(timing)
        async with following(watcher, first) as one, following(watcher, second) as other:
            for each in (one, other):
                await reaches(each, running)
            await until(lambda: server.requests.open_watches == 2)
            fault(place)
            place.finish(first)
            ended = await reaches(one, over)
            server.heal()
            place.finish(second, code=3)
            failed = await reaches(other, over)
        return ended, failed

    ended, failed = complete(scenario())

    assert (ended.state, ended.exit_code) == (JobState.SUCCEEDED, 0)
    assert (failed.state, failed.exit_code) == (JobState.FAILED, 3)
    assert len(server.requests) < 60


def test_a_server_that_wants_to_be_left_alone_is(place, server):
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            await reaches(subscription, running)
            await until(lambda: server.requests.open_watches == 2)
            server.fail(verb="watch", times=2, status=429, retry_after=1)
            before = len(server.requests)
            at = time.monotonic()
            server.cut()
            await until(lambda: len(server.requests) >= before + 2)
            refused = len(server.requests)
            await until(lambda: len(server.requests) > refused)
            return time.monotonic() - at

    assert complete(scenario()) >= 0.9


def test_an_absence_of_minutes_costs_few_requests_and_is_told_once_it_is_long(place, server):
    handle = place.submit()
    timing = replace(TIMING, lost=0.5)

    async def scenario():
        async with following(place.watcher(timing), handle) as subscription:
            await reaches(subscription, running)
            server.fail(times=1000, status=503)
            before = len(server.requests)
            server.cut()
            with pytest.raises(ClusterError, match="503"):
                await reaches(subscription, over)
            with pytest.raises(ClusterError):
                await subscription.status()
            place.finish(handle)
            await asyncio.sleep(2)
            asked = len(server.requests) - before
            server.heal()
            while True:
                await subscription.changed()
                with suppress(ClusterError):  # one of the two streams is still to come back
                    return asked, await reaches(subscription, over)

    asked, status = complete(scenario())
    assert asked < 50
    assert status.state is JobState.SUCCEEDED


def test_a_short_absence_is_not_told(place, server):
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            await reaches(subscription, running)
            server.away(1.0)
            for _ in range(5):
                assert (await subscription.status()).state is JobState.RUNNING
                await asyncio.sleep(0.1)

    complete(scenario())


def test_a_server_that_is_away_at_the_beginning_is_waited_for(place, server):
    handle = place.submit()
    server.away(1.0)

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            return await reaches(subscription, running)

    assert complete(scenario()).state is JobState.RUNNING


def test_a_server_that_never_answers_is_told(place, server):
    handle = place.submit()
    server.fail(times=1000, status=500)

    async def scenario():
        async with following(place.watcher(replace(TIMING, answer=3.0)), handle) as subscription:
            with pytest.raises(ClusterError, match="500"):
                await subscription.status()

    complete(scenario())


def test_a_token_that_ends_is_replaced(place, server):
    handle = place.submit()
    tokens = []

    def fetch():
        tokens.append(server.token(f"user-{len(tokens)}"))
        return Token(tokens[-1])

    access = Access(server.url, "renewing", authority=server.authority.decode(), tokens=TokenSource(fetch))

    async def scenario():
        async with following(KubernetesWatcher(access, "default", TIMING), handle) as subscription:
            await reaches(subscription, running)
            server.revoke(tokens[0])
            server.cut()
            place.finish(handle)
            return await reaches(subscription, over)

    assert complete(scenario()).state is JobState.SUCCEEDED
    assert len(tokens) == 2


def test_a_source_of_tokens_that_fails_is_like_a_server_that_is_away(place, server):
    handle = place.submit()
    fetched = []

    def fetch():
        fetched.append(1)
        if len(fetched) < 4:
            raise RuntimeError("the metadata server is late")
        return Token(server.admin)

    access = Access(server.url, "late", authority=server.authority.decode(), tokens=TokenSource(fetch))

    async def scenario():
        async with following(KubernetesWatcher(access, "default", TIMING), handle) as subscription:
            return await reaches(subscription, running)

    assert complete(scenario()).state is JobState.RUNNING


def test_the_clock_of_a_cluster_that_is_an_hour_ahead_is_the_one_that_counts():
    from followers import IMAGE, Place
    from kube import Image

    with KubeServer(clock_offset=3600.0, bookmark_every=0.3) as server:
        server.images[IMAGE] = Image(idle=True)
        place = Place(server)
        handle = place.submit()

        async def scenario():
            async with following(place.watcher(), handle) as subscription:
                return await reaches(subscription, running)

        status = complete(scenario())
        now = server.clock.now()

    assert status.server_time == pytest.approx(now, abs=30)
    assert status.started_at == pytest.approx(now, abs=30)


def test_a_listing_now_and_then_finds_what_no_watch_told(place, server):
    """As a safety net: a watch that says only that it lives."""
    handle = place.submit()
    timing = replace(TIMING, resync=1.0, watch=1.0)

    async def scenario():
        async with following(place.watcher(timing), handle) as subscription:
            await reaches(subscription, running)
            server.fail(verb="watch", times=1000, silent=True)
            server.cut()
            await asyncio.sleep(0.3)
            place.finish(handle)
            return await reaches(subscription, over)

    assert complete(scenario()).state is JobState.SUCCEEDED


def test_a_watch_that_breaks_in_itself_begins_anew(place, server):
    """Whatever may go wrong in it, thousands would wait for ever. Here it is the log that cannot be written."""
    handle = place.submit()
    broken = []

    class Full(logging.Filter):
        def filter(self, record):
            if not broken:
                broken.append(record)
                raise OSError("no space left on device")
            return True

    logger, full = logging.getLogger(watch_stream.__name__), Full()

    async def scenario():
        async with following(place.watcher(), handle) as subscription:
            await reaches(subscription, running)
            await until(lambda: server.requests.open_watches == 2)
            server.fail(verb="watch", times=1, status=500)
            server.cut()
            await until(lambda: broken)
            place.finish(handle)
            return await reaches(subscription, over)

    logger.addFilter(full)
    try:
        assert complete(scenario()).state is JobState.SUCCEEDED
    finally:
        logger.removeFilter(full)


def test_what_a_watch_does_is_nothing_that_its_first_follower_does(place, server):
    """Its log lines would stand in the log of the task that came first, for as long as others wait."""
    follower = ContextVar("follower", default="nobody")
    seen = set()

    def fetch():
        seen.add(follower.get())
        return Token(server.admin)

    access = replace(place.access(), identity="seen", tokens=TokenSource(fetch))

    async def scenario():
        follower.set("first")
        async with following(KubernetesWatcher(access, "default", TIMING), place.submit()) as subscription:
            await reaches(subscription, running)

    complete(scenario())
    assert seen == {"nobody"}
