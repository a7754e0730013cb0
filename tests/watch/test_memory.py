"""What is kept of jobs: small, complete, and right in whatever order it is told."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_objects import JOB as NAME
from kubernetes_objects import NOW, a_job, a_pod, condition, failed, running, terminated, unix, waiting

from airflow_provider_kinetic.clusters.watch_cache import Cache, Entry
from airflow_provider_kinetic.clusters.watch_objects import JOB, POD, Reader, pruned, without_environment
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.status import status_of
from airflow_provider_kinetic.model.status import JobState, Reason

REPORT = protocol.encode_termination(
    outcome="success", phase="done", attempt=1, objects={"result.pkl": {"sha256": "0" * 64, "size": 1}}
).decode()
COMPLETE = a_job({"succeeded": 1, "completionTime": "2026-08-20T12:20:00Z", "conditions": [condition("Complete")]})
DISRUPTED = [condition("DisruptionTarget", "PreemptionByScheduler")]

SITUATIONS = {
    "new": (a_job(), []),
    "suspended": (a_job(spec={"suspend": True}), []),
    "queued": (a_job({"conditions": [condition("Suspended")]}, labels={"kueue.x-k8s.io/queue-name": "tpu"}), []),
    "running": (a_job(), [a_pod("Running", running())]),
    "waiting": (a_job(), [a_pod(state=waiting("ImagePullBackOff", "not found"))]),
    "unschedulable": (
        a_job(),
        [
            a_pod(
                conditions=[condition("PodScheduled", "Unschedulable", "0/3 nodes: Insufficient cpu", status="False")],
                selector={"cloud.google.com/gke-tpu-topology": "2x2"},
            )
        ],
    ),
    "complete": (COMPLETE, [a_pod("Succeeded", terminated(0, "Completed", REPORT))]),
    "failed": (failed(), [a_pod("Failed", terminated(1))]),
    "out of memory": (failed(), [a_pod("Failed", terminated(137, "OOMKilled"), limits={"memory": "2Gi"})]),
    "evicted": (failed(), [a_pod("Failed", reason="Evicted", message="low on memory")]),
    "deadline": (failed("DeadlineExceeded", "Job was active longer than specified deadline"), []),
    "preempted": (
        a_job(),
        [a_pod("Failed", terminated(143), conditions=DISRUPTED), a_pod("Running", running(9), suffix="b", minute=8)],
    ),
    "init container": (
        a_job(),
        [a_pod(initContainerStatuses=[{"name": "fetch", "state": waiting("ErrImagePull", "denied")}])],
    ),
    "being deleted": (a_job(deletionTimestamp="2026-08-20T12:29:00Z"), [a_pod("Running", running())]),
}


def whole(obj):
    """As a server sends it: with much that nobody needs."""
    more = {"annotations": {"note": "x" * 5000}, "managedFields": [{"fieldsV1": {"f:spec": {}}, "manager": "kubelet"}]}
    return {**obj, "kind": "Any", "metadata": {**obj["metadata"], **more}, "extra": {"status": {"phase": "Odd"}}}


@pytest.mark.parametrize(("job", "pods"), SITUATIONS.values(), ids=SITUATIONS)
def test_the_part_that_is_kept_says_what_the_whole_says(job, pods):
    body = {"items": [whole(job)], "metadata": {"resourceVersion": "7"}}
    kept_job = without_environment(Reader(JOB).page(json.dumps(body).encode())["items"][0])
    lines = [json.dumps({"type": "ADDED", "object": whole(pod)}).encode() for pod in pods]
    kept_pods = [Reader(POD).event(line)["object"] for line in lines]

    assert status_of(kept_job, kept_pods, server_time=NOW) == status_of(job, pods, server_time=NOW)
    assert pruned(whole(job), JOB).keys() == kept_job.keys()
    assert max(len(json.dumps(kept)) for kept in [kept_job, *kept_pods]) < 2048


def test_a_large_environment_is_not_kept():
    job = a_job()
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [*container["env"], *({"name": f"V{n}", "value": "x" * 1000} for n in range(1000))]

    cache = Cache()
    cache.tell_job("ADDED", pruned(job, JOB))

    assert len(json.dumps(cache.entry(NAME).job)) < 1000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "name", "status", "conditions", "spec", "containers", "labels", "items"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(anything)
def test_whatever_a_server_sends_is_read(sent):
    for reader in (Reader(JOB), Reader(POD)):
        told = reader.event(json.dumps({"type": "ADDED", "object": sent}).encode())
        assert told.get("type") == "ADDED"
        reader.page(json.dumps(sent).encode())


@pytest.mark.parametrize("broken", [b"", b"<html>", b'{"type":"ADDED","object":{"meta', b"\xff\xfe"])
def test_what_is_no_json_is_an_error(broken):
    with pytest.raises(ValueError):
        Reader(JOB).event(broken)


# Order.


def version(obj, number, **metadata):
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(number), **metadata}}


def pod_of(obj, name="a"):
    return {**obj, "metadata": {**obj["metadata"], "name": f"{NAME}-{name}", "labels": {"job-name": NAME}, "uid": name}}


TOLD = [
    ("job", version(a_job(), 1)),
    ("pod", version(pod_of(a_pod()), 2)),
    ("pod", version(pod_of(a_pod("Running", running())), 3)),
    ("pod", version(pod_of(a_pod("Succeeded", terminated(0, "Completed", REPORT))), 4)),
    ("job", version(COMPLETE, 5)),
]


@pytest.mark.parametrize(
    "order", list(permutations(TOLD)), ids=lambda order: "-".join(_version(obj) for _, obj in order)
)
def test_changes_may_come_in_any_order(order):
    cache = Cache()
    for what, obj in order:
        (cache.tell_job if what == "job" else cache.tell_pod)("MODIFIED", obj)
    entry = cache.entry(NAME)
    status = entry.status(NOW)

    assert (status.state, status.exit_code, status.attempts) == (JobState.SUCCEEDED, 0, 1)
    assert entry.proved(status)
    assert set(status.objects) == {"result.pkl"}


def _version(obj):
    return obj["metadata"]["resourceVersion"]


def test_an_end_without_its_pod_is_not_proved():
    cache = Cache()
    cache.tell_pod("ADDED", version(pod_of(a_pod("Running", running())), 1))
    cache.tell_job("ADDED", version(COMPLETE, 5))
    entry = cache.entry(NAME)

    assert not entry.proved(entry.status(NOW))
    cache.tell_pod("MODIFIED", version(pod_of(a_pod("Succeeded", terminated(0, "Completed", REPORT))), 4))
    assert entry.proved(entry.status(NOW))


def test_the_pod_of_an_attempt_before_the_last_proves_no_failure():
    cache = Cache()
    cache.tell_pod("ADDED", version(pod_of(a_pod("Failed", terminated(143), conditions=DISRUPTED)), 1))
    cache.tell_job("ADDED", version(failed(), 5))
    entry = cache.entry(NAME)

    assert not entry.proved(entry.status(NOW))
    cache.tell_pod("ADDED", version(pod_of(a_pod("Failed", terminated(1), minute=9), "b"), 4))
    assert entry.proved(entry.status(NOW))
    assert entry.status(NOW).reason is Reason.USER_CODE


# What is gone.


def test_attempts_and_the_first_start_outlive_their_pods():
    cache = Cache()
    cache.tell_job("ADDED", version(a_job(), 1))
    cache.tell_pod("ADDED", version(pod_of(a_pod("Running", running(3), conditions=DISRUPTED), "a"), 2))
    cache.tell_pod("DELETED", version(pod_of(a_pod("Running", running(3), conditions=DISRUPTED), "a"), 3))
    cache.tell_pod("ADDED", version(pod_of(a_pod("Running", running(9), minute=8), "b"), 4))
    status = cache.entry(NAME).status(NOW)

    assert (status.state, status.attempts, status.preemptions) == (JobState.RUNNING, 2, 1)
    assert status.started_at == unix(3)


def test_what_a_pod_reported_outlives_it():
    ended = version(pod_of(a_pod("Succeeded", terminated(0, "Completed", REPORT))), 2)
    cache = Cache()
    cache.tell_job("ADDED", version(a_job(), 1))
    cache.tell_pod("ADDED", ended)
    cache.tell_pod("DELETED", version(ended, 3))
    cache.only_pods(set())
    cache.tell_job("MODIFIED", version(COMPLETE, 4))

    assert set(cache.entry(NAME).status(NOW).objects) == {"result.pkl"}


def test_only_the_same_job_is_gone_by_its_deletion():
    cache = Cache()
    entry = cache.entry(NAME)
    entry.followers.append(lambda: None)
    cache.tell_job("ADDED", version(a_job(), 1))
    cache.tell_job("DELETED", version(a_job(uid="another"), 2))
    assert entry.status(NOW).state is JobState.PENDING

    cache.tell_job("DELETED", version(a_job(), 2))
    assert (entry.status(NOW).state, entry.gone) == (JobState.NOT_FOUND, True)


def test_a_job_that_was_made_again_has_no_past():
    cache = Cache()
    cache.tell_job("ADDED", version(a_job(), 1))
    owned = {"ownerReferences": [{"kind": "Job", "uid": "6c1a"}]}
    cache.tell_pod("ADDED", version(pod_of(a_pod("Running", running(3), metadata=owned)), 2))
    cache.tell_job("ADDED", version(a_job(uid="another"), 3))
    status = cache.entry(NAME).status(NOW)

    assert (status.state, status.attempts, status.started_at) == (JobState.PENDING, 0, None)


def test_a_job_that_a_listing_lacks_is_unknown_not_gone():
    cache = Cache()
    entry = cache.entry(NAME)
    entry.followers.append(lambda: None)
    cache.tell_job("ADDED", version(a_job(), 1))
    cache.only_jobs(set())

    assert (entry.job, entry.gone) == (None, False)


def test_what_nobody_follows_leaves_nothing():
    cache = Cache()
    running_pod = version(pod_of(a_pod("Running", running())), 2)
    cache.tell_job("ADDED", version(a_job(), 1))
    cache.tell_pod("ADDED", running_pod)
    cache.tell_job("DELETED", version(a_job(), 3))
    cache.tell_pod("MODIFIED", version(running_pod, 4))
    cache.tell_pod("DELETED", version(running_pod, 5))

    assert cache.entries == {}


@pytest.mark.parametrize("pods_first", [False, True])
def test_what_was_deleted_while_nobody_listened_leaves_nothing(pods_first):
    cache = Cache()
    cache.tell_job("ADDED", version(COMPLETE, 1))
    cache.tell_pod("ADDED", version(pod_of(a_pod("Succeeded", terminated(0, "Completed", REPORT))), 2))
    listings = [lambda: cache.only_jobs(set()), lambda: cache.only_pods(set())]
    for listing in reversed(listings) if pods_first else listings:
        listing()

    assert cache.entries == {}


def test_a_job_that_was_unknown_for_a_while_keeps_its_numbers():
    cache = Cache()
    cache.entry(NAME).followers.append(lambda: None)
    owned = {"ownerReferences": [{"kind": "Job", "uid": "6c1a"}]}
    cache.tell_job("ADDED", version(a_job(), 1))
    gone = version(pod_of(a_pod("Running", running(3), conditions=DISRUPTED)), 2, **owned)
    cache.tell_pod("ADDED", gone)
    cache.tell_pod("DELETED", gone)
    cache.only_jobs(set())
    cache.tell_job("ADDED", version(a_job(), 3))

    assert cache.entry(NAME).status(NOW).attempts == 1


def test_a_change_that_says_nothing_new_stirs_nobody():
    stirred = []
    entry = Entry(NAME)
    cache = Cache()
    cache.entries[NAME] = entry
    entry.followers.append(lambda: stirred.append(1))
    cache.tell_job("ADDED", version(a_job(), 1))
    cache.tell_pod("ADDED", version(pod_of(a_pod("Running", running())), 2))
    before = len(stirred)
    cache.tell_job("MODIFIED", version(a_job(), 3))
    cache.tell_pod("MODIFIED", version(pod_of(a_pod("Running", running())), 4))

    assert (before, len(stirred)) == (2, 2)
