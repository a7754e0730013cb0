"""What is seen of a job on Kubernetes when pods, nodes, events or the Job itself are not what they should be."""

from __future__ import annotations

import time

import pytest
from kube import Image, KubeServer
from kube.resources import EVENTS, LEADER_WORKER_SETS, PODS
from leader_worker_sets import LeaderWorkerSets

from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.clusters.kubernetes import KubernetesCluster
from airflow_provider_kinetic.model.status import JobState, Reason

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"


def waits(kube, handle, reason):
    """The status, once it has that reason."""
    return kube.until(lambda: (now := kube.cluster.status(handle)).reason is reason and now, str(reason))


def pod_of(server, handle):
    """The newest pod, once it is older than a second: times of objects are whole seconds."""
    time.sleep(1.1)
    return server.pods(handle.k8s_name)[-1]


def test_a_service_account_that_is_missing_is_seen_at_once(kube):
    found = waits(kube, kube.start("pass", service_account="trainer"), Reason.SERVICE_ACCOUNT)
    assert (found.state, found.message) == (
        JobState.PENDING,
        "there is no service account 'trainer' in the namespace",
    )


def test_an_image_that_cannot_be_pulled_is_named(server, kube):
    server.images["private:1"] = Image(pull_error="not found")
    found = waits(kube, kube.start("pass", image="private:1"), Reason.IMAGE)
    assert "private:1" in found.message


def test_a_pod_that_finds_no_machine_says_why(server, kube):
    server.unschedulable("0/3 nodes are available: 3 Insufficient google.com/tpu.")
    found = waits(kube, kube.start("pass"), Reason.UNSCHEDULABLE)
    assert "not enough google.com/tpu is free" in found.message


def test_a_quota_on_pods_is_seen(server, kube):
    server.refuse_pods("exceeded quota: team, requested: cpu=4, used: cpu=2, limited: cpu=4")
    found = waits(kube, kube.start("pass"), Reason.QUOTA)
    assert "a quota of the namespace is used up" in found.message


def test_a_queued_job_waits_until_it_is_admitted(kube):
    found = waits(kube, kube.start("pass", queue="tpu"), Reason.QUEUED)
    assert "waiting in the queue tpu" in found.message


def test_events_are_asked_for_only_while_they_explain_something(server, kube):
    handle = kube.start(SLEEP)
    kube.wait(handle, JobState.RUNNING)
    before = len(server.requests)
    kube.cluster.status(handle)
    assert [(one.verb, one.resource) for one in server.requests[before:]] == [("get", "jobs"), ("list", "pods")]


def test_an_idle_look_at_a_finished_job_costs_two_requests(server, kube):
    handle = kube.start("pass")
    kube.wait(handle, JobState.SUCCEEDED)
    before = len(server.requests)
    kube.cluster.status(handle)
    assert len(server.requests) - before == 2


@pytest.mark.parametrize("how", ["preempt", "evict", "shut_down_node"])
def test_a_disrupted_job_is_started_again_and_counted(server, kube, how):
    handle = kube.start(SLEEP)
    first = kube.wait(handle, JobState.RUNNING)
    getattr(server, how)(pod_of(server, handle))
    again = lambda: (now := kube.cluster.status(handle)).state is JobState.RUNNING and now.attempts == 2 and now  # noqa: E731
    found = kube.until(again, "second attempt")
    assert (found.preemptions, found.started_at) == (1, first.started_at)
    assert "preempted 1×" in found.message


def test_what_was_known_outlives_the_events(server, kube):
    handle = kube.start(SLEEP)
    first = kube.wait(handle, JobState.RUNNING)
    for attempt in (2, 3):
        server.preempt(pod_of(server, handle))
        more = lambda attempt=attempt: kube.cluster.status(handle).attempts == attempt  # noqa: E731
        kube.until(more, f"attempt {attempt}")
        kube.wait(handle, JobState.RUNNING)
    for event in server.store.list(EVENTS, "default")[0]:
        server.store.remove(EVENTS, "default", event["metadata"]["name"])
    kube.wait(handle, JobState.RUNNING)
    found = kube.cluster.status(handle)
    assert (found.attempts, found.preemptions, found.started_at) == (3, 2, first.started_at)


def test_one_who_looks_later_counts_from_the_events(server, connect, kube):
    handle = kube.start(SLEEP)
    first = kube.wait(handle, JobState.RUNNING)
    server.preempt(pod_of(server, handle))
    kube.until(lambda: kube.cluster.status(handle).attempts == 2, "second attempt")
    found = kube.wait(handle, JobState.RUNNING)
    late = connect().status(handle)
    assert (late.attempts, late.preemptions) == (found.attempts, found.preemptions) == (2, 1)
    assert late.started_at == first.started_at


def test_a_lost_node_is_no_end_until_the_cluster_gives_it_up(server, kube):
    handle = kube.start(SLEEP)
    kube.says(handle, "ready")
    pod = pod_of(server, handle)
    server.lose_node(pod)
    assert kube.cluster.status(handle).state is JobState.RUNNING
    assert kube.cluster.tail(handle) == "", "nobody there to ask"
    server.remove_lost(pod)
    kube.until(lambda: kube.cluster.status(handle).preemptions == 1, "replacement")
    assert kube.cluster.delete(handle, wait=15)


def test_a_pod_deleted_by_hand_fails_the_job_with_a_reason(server, kube):
    handle = kube.start(SLEEP)
    kube.says(handle, "ready")
    pod = pod_of(server, handle)
    server.registry.delete(PODS, "default", pod["metadata"]["name"], {})
    found = kube.wait(handle, JobState.FAILED)
    assert found.message
    assert found.reason in (Reason.VANISHED, Reason.KILLED)


def test_a_job_deleted_by_hand_is_not_found(server, kube):
    handle = kube.start(SLEEP)
    kube.says(handle, "ready")
    server.registry.delete(server.resource("jobs"), "default", handle.k8s_name, {"propagationPolicy": "Background"})
    kube.wait(handle, JobState.NOT_FOUND)
    assert kube.cluster.delete(handle, wait=15)


def test_pods_that_a_job_deleted_by_hand_left_are_ended(server, kube):
    handle = kube.start(SLEEP)
    kube.says(handle, "ready")
    server.registry.delete(server.resource("jobs"), "default", handle.k8s_name, {"propagationPolicy": "Orphan"})
    kube.wait(handle, JobState.NOT_FOUND)
    assert len(server.pods(handle.k8s_name)) == 1
    assert not kube.cluster.delete(handle)
    assert kube.cluster.delete(handle, wait=15)
    assert server.pods(handle.k8s_name) == []


def test_a_job_made_again_under_its_name_does_not_inherit(server, kube):
    manifest = kube.manifest(SLEEP)
    handle = kube.handle(manifest)
    kube.cluster.create(manifest)
    kube.wait(handle, JobState.RUNNING)
    server.preempt(pod_of(server, handle))
    kube.until(lambda: kube.cluster.status(handle).attempts == 2, "second attempt")
    assert kube.cluster.delete(handle, wait=15)
    kube.cluster.create(manifest)
    assert kube.wait(handle, JobState.RUNNING).attempts == 1


@pytest.mark.parametrize("offset", [3600, -3600])
def test_time_is_the_servers(kube, offset):
    with KubeServer(clock_offset=offset) as server:
        tokens = TokenSource(lambda: Token(server.admin))
        access = Access(server.url, "admin", server.authority.decode(), tokens=tokens)
        kube.cluster = KubernetesCluster(access, "default")
        handle = kube.start("pass")
        found = kube.wait(handle, JobState.SUCCEEDED)
        times = (found.created_at, found.started_at, found.finished_at, found.server_time)
        assert list(times) == sorted(times)
        assert times[-1] - times[0] < 60
        assert abs(found.server_time - offset - time.time()) < 60


GROUP = {
    "metadata": {"name": "keras-pathways-job-1", "labels": {"app": "kinetic-pathways", "job-id": "job-1"}},
    "spec": {"replicas": 1},
}


def group(code, size=2):
    labels = {**GROUP["metadata"]["labels"], "job-name": GROUP["metadata"]["name"]}
    container = {"name": "kinetic-worker", "image": "python:3-slim", "command": ["python3", "-u", "-c", code]}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    workers = {"size": size, "leaderTemplate": template, "workerTemplate": template}
    return {**GROUP, "spec": {"replicas": 1, "leaderWorkerTemplate": workers}}


@pytest.fixture
def upstreams(server, kube):
    """The handle of a LeaderWorkerSet of upstream's client that runs ``code``."""
    kube.backend = "pathways"
    handle = kube.handle(kube.manifest("", name=GROUP["metadata"]["name"], job_id="job-1"))

    def made(code):
        server.registry.create(LEADER_WORKER_SETS, "default", group(code))
        return handle

    with LeaderWorkerSets(server):
        yield made


def test_upstreams_group_is_followed_listed_tailed_and_deleted(kube, upstreams):
    handle = upstreams(SLEEP)
    kube.wait(handle, JobState.RUNNING)
    assert kube.says(handle, "ready") == "ready\n"
    assert kube.cluster.annotations(handle) == {}
    (summary,) = kube.cluster.list()
    assert (summary.name, summary.job_id, summary.status.state) == (handle.k8s_name, "job-1", JobState.RUNNING)
    assert kube.cluster.delete(handle, wait=30)
    assert kube.cluster.status(handle).state is JobState.NOT_FOUND
    assert kube.cluster.delete(handle)
    assert kube.cluster.annotations(handle) is None


@pytest.mark.parametrize(("code", "state"), [("pass", JobState.SUCCEEDED), ("raise SystemExit(1)", JobState.FAILED)])
def test_upstreams_group_ends_as_its_leader_does(kube, upstreams, code, state):
    kube.wait(upstreams(code), state)


def test_a_cluster_without_leader_worker_sets_has_none(kube):
    with KubeServer(custom=()) as server:
        tokens = TokenSource(lambda: Token(server.admin))
        kube.cluster = KubernetesCluster(Access(server.url, "x", server.authority.decode(), tokens=tokens), "default")
        kube.backend = "pathways"
        handle = kube.handle(kube.manifest("", name=GROUP["metadata"]["name"], job_id="job-1"))
        assert kube.cluster.status(handle).state is JobState.NOT_FOUND
        assert kube.cluster.annotations(handle) is None
        assert kube.cluster.delete(handle)
        assert kube.cluster.list() == []
