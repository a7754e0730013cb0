"""Watches: what they tell, from where, and how they end."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from kube.cluster import Cluster
from kubernetes.client import ApiException
from kubernetes.watch import Watch

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def secret(cluster: Cluster, name: str, **labels: str) -> Any:
    return cluster.core.create_namespaced_secret(cluster.namespace, {"metadata": {"name": name, "labels": labels}})


def watched(cluster: Cluster, since: str, count: int, **options: Any) -> list[tuple[str, str]]:
    """The first ``count`` events, or what comes within a second where there are to be none."""
    watch, told = Watch(), []
    stream = watch.stream(
        cluster.core.list_namespaced_secret,
        cluster.namespace,
        resource_version=since,
        timeout_seconds=20 if count else 1,
        **options,
    )
    for event in stream:
        told.append((event["type"], event["object"].metadata.name))
        if len(told) == count:
            watch.stop()
    return told


def test_a_watch_goes_on_where_the_list_was_read(cluster: Cluster) -> None:
    secret(cluster, "before")
    since = cluster.core.list_namespaced_secret(cluster.namespace).metadata.resource_version
    secret(cluster, "after")
    cluster.core.delete_namespaced_secret("before", cluster.namespace)
    assert watched(cluster, since, 2) == [("ADDED", "after"), ("DELETED", "before")]


def test_a_watch_tells_what_happens_while_it_is_open(cluster: Cluster) -> None:
    since = cluster.core.list_namespaced_secret(cluster.namespace).metadata.resource_version
    timer = threading.Timer(0.3, secret, (cluster, "live"))
    timer.start()
    assert watched(cluster, since, 1) == [("ADDED", "live")]
    timer.join()


def test_an_object_that_stops_matching_is_deleted_for_the_watch(cluster: Cluster) -> None:
    since = cluster.core.list_namespaced_secret(cluster.namespace).metadata.resource_version
    secret(cluster, "mine", team="red")
    secret(cluster, "theirs", team="blue")
    for team in ("blue", "red"):
        cluster.core.patch_namespaced_secret("mine", cluster.namespace, {"metadata": {"labels": {"team": team}}})
    told = watched(cluster, since, 3, label_selector="team=red")
    assert told == [("ADDED", "mine"), ("DELETED", "mine"), ("ADDED", "mine")]


def test_a_watch_without_a_version_begins_with_what_is_there(cluster: Cluster) -> None:
    secret(cluster, "there")
    assert watched(cluster, "0", 1) == [("ADDED", "there")]


def test_bookmarks_carry_a_version_that_can_be_gone_on_from(cluster: Cluster) -> None:
    since = cluster.core.list_namespaced_secret(cluster.namespace).metadata.resource_version
    secret(cluster, "one")
    answer = cluster.core.list_namespaced_secret(
        cluster.namespace,
        watch=True,
        resource_version=since,
        allow_watch_bookmarks=True,
        timeout_seconds=1,
        _preload_content=False,
    )
    events = [json.loads(line) for line in answer.data.splitlines()]
    assert events[0]["type"] == "ADDED"
    assert events[-1]["type"] == "BOOKMARK"
    mark = events[-1]["object"]["metadata"]["resourceVersion"]
    assert int(mark) >= int(events[0]["object"]["metadata"]["resourceVersion"])
    assert watched(cluster, mark, 0) == []


def test_a_version_that_is_none_is_a_bad_request(cluster: Cluster) -> None:
    with pytest.raises(ApiException) as caught:
        watched(cluster, "yesterday", 1)
    assert caught.value.status == 400
