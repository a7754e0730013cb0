"""A server that refuses is told to those who follow, by the permission or setting it is about, and is not stormed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from followers import TIMING, complete, following, over, reaches, running, until
from kube import Rule

from airflow_provider_kinetic.clusters.access import Access
from airflow_provider_kinetic.clusters.watch import KubernetesWatcher
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.status import JobState

pytestmark = pytest.mark.faults


def test_a_permission_that_is_missing_is_named_at_once(place, server):
    token = server.token("reader", [Rule(("list", "watch", "get"), ("jobs",))])

    async def scenario():
        async with following(place.watcher(token=token, identity="reader"), place.submit()) as subscription:
            with pytest.raises(ClusterError) as caught:
                await subscription.status()
        return caught.value

    error = complete(scenario())
    assert "list pods" in error.summary
    assert "roles/container.developer" in error.advice


def test_a_certificate_that_is_not_trusted_is_told(place):
    access = replace(place.access(), authority=None, identity="stranger")  # only those of this machine

    async def scenario():
        async with following(KubernetesWatcher(access, "default", TIMING), place.handle("job-1")) as subscription:
            with pytest.raises(ClusterError, match="not trusted"):
                await subscription.status()

    complete(scenario())


def test_a_connection_that_cannot_even_be_made_is_told(place):
    access = Access(
        place.server.url, "broken", authority="-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"
    )

    async def scenario():
        watcher = KubernetesWatcher(access, "default", TIMING)
        async with following(watcher, place.handle("job-1")) as subscription:
            with pytest.raises(ClusterError):
                await subscription.status()

    complete(scenario())


REFUSED_WATCHES = {
    "410": {"status": 410, "reason": "Expired"},
    "503": {"status": 503},
    "resets": {"drop": "before"},
    "silence": {"silent": True},
}


@pytest.mark.parametrize("refusal", REFUSED_WATCHES.values(), ids=REFUSED_WATCHES)
def test_a_server_that_gives_listings_only_is_asked_for_those_less_and_less(refusal, place, server):
    """A version that is too old for ever, or a proxy that lets no stream through."""
    handle = place.submit()
    timing = replace(TIMING, pause=0.05, longest_pause=1.0, silence=0.5, lost=1.5)
    server.fail(verb="watch", times=1000, **refusal)

    async def scenario():
        async with following(place.watcher(timing), handle) as subscription:
            await reaches(subscription, running)
            await asyncio.sleep(2)  # longer than a server that says nothing counts as there
            asked = len(server.requests)
            place.finish(handle)
            return asked, await reaches(subscription, over)

    asked, status = complete(scenario())
    assert status.state is JobState.SUCCEEDED
    assert asked < 60


def test_listings_that_are_always_too_old_are_told_in_the_end(place, server):
    handle = place.submit()

    async def scenario():
        async with following(place.watcher(replace(TIMING, lost=0.5)), handle) as subscription:
            await reaches(subscription, running)
            await until(lambda: server.requests.open_watches == 2)
            server.fail(verb="list", times=1000, status=410, reason="Expired")
            server.expire()
            with pytest.raises(ClusterError, match="too old"):
                await reaches(subscription, over)

    complete(scenario())


def test_those_who_follow_hear_of_a_refusal_once(place, server):
    """Each of thousands would ask, and write a line, whenever the server is tried again."""
    server.fail(times=1000, status=403)

    async def scenario():
        async with following(place.watcher(), place.submit()) as subscription:
            with pytest.raises(ClusterError):
                await subscription.status()
            await subscription.changed(0.5)  # of the second stream
            with pytest.raises(ClusterError):
                await subscription.status()
            tried = len(server.requests)
            waiting = asyncio.create_task(subscription.changed())
            await until(lambda: len(server.requests) > tried + 6)
            assert not waiting.done()
            server.heal()
            await waiting

    complete(scenario())
