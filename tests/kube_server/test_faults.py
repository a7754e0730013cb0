"""Trouble on request: of the API, of the cluster, of the machines below."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from kube import Image, KubeServer, Rule
from kube.cluster import Cluster, ends, eventually, job
from kubernetes import client
from kubernetes.client import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

SLEEP = "import time; time.sleep(60)"
POLICY = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


@pytest.fixture
def impatient(cluster: Cluster) -> Cluster:
    """The client tries dropped connections and 429 with Retry-After again by itself; here it must not."""
    cluster.api.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return cluster


def test_too_many_requests_say_when_to_come_again(server: KubeServer, impatient: Cluster) -> None:
    server.fail(verb="list", resource="jobs", status=429, retry_after=7)
    with pytest.raises(ApiException) as caught:
        impatient.batch.list_namespaced_job(impatient.namespace)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "7")
    assert json.loads(caught.value.body)["reason"] == "TooManyRequests"
    assert impatient.batch.list_namespaced_job(impatient.namespace).items == []


def test_a_lost_reply_leaves_what_was_done(server: KubeServer, impatient: Cluster) -> None:
    server.fail(verb="create", resource="jobs", drop="after")
    with pytest.raises(HTTPError):
        impatient.run("made", "pass", suspend=True)
    assert impatient.job("made").metadata.uid


def test_a_connection_dropped_before_leaves_nothing(server: KubeServer, impatient: Cluster) -> None:
    server.fail(verb="create", resource="jobs", drop="before")
    with pytest.raises(HTTPError):
        impatient.run("unmade", "pass", suspend=True)
    assert impatient.batch.list_namespaced_job(impatient.namespace).items == []


def test_half_a_reply(server: KubeServer, impatient: Cluster) -> None:
    server.fail(verb="list", resource="jobs", drop="during")
    with pytest.raises(HTTPError):
        impatient.batch.list_namespaced_job(impatient.namespace)


def test_a_slow_list(server: KubeServer, cluster: Cluster) -> None:
    server.fail(verb="list", resource="jobs", delay=0.5)
    began = time.monotonic()
    cluster.batch.list_namespaced_job(cluster.namespace)
    assert time.monotonic() - began >= 0.5


def test_a_server_that_is_away_comes_back(server: KubeServer, impatient: Cluster) -> None:
    server.away(0.5)
    with pytest.raises((HTTPError, OSError)):
        impatient.batch.list_namespaced_job(impatient.namespace)

    def back() -> bool:
        try:
            return impatient.batch.list_namespaced_job(impatient.namespace).items == []
        except (HTTPError, OSError):
            return False

    assert eventually(back)


def test_an_expired_watch_ends_with_an_error_event(server: KubeServer, cluster: Cluster) -> None:
    since = cluster.batch.list_namespaced_job(cluster.namespace).metadata.resource_version
    cluster.run("later", "pass", suspend=True)
    server.expire()
    stream = Watch().stream(
        cluster.batch.list_namespaced_job, cluster.namespace, resource_version=since, timeout_seconds=5
    )
    with pytest.raises(ApiException) as caught:
        list(stream)
    assert caught.value.status == 410
    server.fail(verb="watch", status=410)
    with pytest.raises(ApiException) as caught:
        list(Watch().stream(cluster.batch.list_namespaced_job, cluster.namespace, timeout_seconds=5))
    assert caught.value.status == 410


def test_pages_expire(server: KubeServer, cluster: Cluster) -> None:
    for name in "ab":
        cluster.run(name, "pass", suspend=True)
    token = cluster.batch.list_namespaced_job(cluster.namespace, limit=1).metadata._continue
    server.expire()
    with pytest.raises(ApiException) as caught:
        cluster.batch.list_namespaced_job(cluster.namespace, limit=1, _continue=token)
    assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (410, "Expired")


def test_a_silent_watch_says_nothing_and_is_counted(server: KubeServer, cluster: Cluster) -> None:
    server.fail(verb="watch", resource="jobs", silent=True)
    answer = cluster.batch.list_namespaced_job(cluster.namespace, watch=True, _preload_content=False)
    eventually(lambda: server.requests.open_watches == 1)
    cluster.run("unseen", "pass", suspend=True)
    server.cut()
    with pytest.raises(HTTPError):
        answer.read()
    answer.close()
    eventually(lambda: server.requests.open_watches == 0)


def test_requests_are_counted(server: KubeServer, cluster: Cluster) -> None:
    before = server.requests.count("get", "jobs")
    cluster.run("counted", "pass", suspend=True)
    cluster.job("counted")
    assert server.requests.count("get", "jobs") == before + 1
    assert server.requests.count(verb="create", resource="jobs", user="admin") == 1


def test_who_may_what(server: KubeServer, connect: Callable[[str], Cluster]) -> None:
    reader = connect(server.token("reader", [Rule(["get", "list"], ["jobs"], ["default"])]))
    assert reader.batch.list_namespaced_job("default").items == []
    with pytest.raises(ApiException) as caught:
        reader.run("no", "pass")
    assert caught.value.status == 403
    message = json.loads(caught.value.body)["message"]
    wanted = 'jobs.batch is forbidden: User "reader" cannot create resource "jobs" in API group "batch"'
    assert message == f'{wanted} in the namespace "default"'

    def allowed(verb: str) -> bool:
        asked = {"verb": verb, "group": "batch", "resource": "jobs", "namespace": "default"}
        review = {"spec": {"resourceAttributes": asked}}
        return client.AuthorizationV1Api(reader.api).create_self_subject_access_review(review).status.allowed

    assert (allowed("list"), allowed("create")) == (True, False)


def test_a_revoked_or_expired_token_is_unauthorized(server: KubeServer, connect: Callable[[str], Cluster]) -> None:
    for token in (server.token("brief", lasts=0.0), "nonsense"):
        with pytest.raises(ApiException) as caught:
            connect(token).batch.list_namespaced_job("default")
        assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (401, "Unauthorized")


def test_an_image_that_cannot_be_pulled(server: KubeServer, cluster: Cluster) -> None:
    server.images["private:1"] = Image(pull_error="not found")
    cluster.run("pull", "pass", pod={"container": {"image": "private:1"}})

    def waiting() -> str:
        pods = cluster.pods("pull")
        statuses = pods[0].status.container_statuses if pods else None
        return statuses[0].state.waiting.reason if statuses else ""

    eventually(lambda: waiting() == "ImagePullBackOff")
    server.images["private:1"] = Image()
    assert ends(cluster.ended("pull")) == {"Complete": "CompletionsReached"}


def test_a_pod_that_needs_too_much_memory(server: KubeServer, cluster: Cluster) -> None:
    cluster.run("big", SLEEP)
    pod = cluster.pod_runs("big")
    server.oom_kill(server.pods("big", cluster.namespace)[0])
    cluster.ended("big")
    ended = cluster.core.read_namespaced_pod(pod.metadata.name, cluster.namespace).status.container_statuses[0]
    assert (ended.state.terminated.exit_code, ended.state.terminated.reason) == (137, "OOMKilled")


@pytest.mark.parametrize("how", ["preempt", "shut_down_node", "evict", "lose_node"])
def test_a_disrupted_pod_is_replaced(server: KubeServer, cluster: Cluster, how: str) -> None:
    cluster.run("spot", SLEEP, podFailurePolicy=POLICY)
    first = cluster.pod_runs("spot").metadata.name
    (pod,) = server.pods("spot", cluster.namespace)
    getattr(server, how)(pod)
    if how == "lose_node":
        assert cluster.pods("spot")[0].status.phase == "Running"
        with pytest.raises(ApiException):
            cluster.log(first)
        server.remove_lost(pod)
    eventually(lambda: [each for each in cluster.pods("spot") if each.metadata.name != first])
    assert cluster.job("spot").status.failed is None
    left = [
        each for each in cluster.pods("spot") if each.metadata.name == first and not each.metadata.deletion_timestamp
    ]
    assert [each.status.reason for each in left] == {"evict": ["Evicted"], "shut_down_node": ["Terminated"]}.get(
        how, []
    )


def test_without_a_policy_a_disrupted_pod_fails_the_job(server: KubeServer, cluster: Cluster) -> None:
    cluster.run("spot", SLEEP)
    cluster.pod_runs("spot")
    server.preempt(server.pods("spot", cluster.namespace)[0])
    assert ends(cluster.ended("spot")) == {"Failed": "BackoffLimitExceeded"}


def test_a_quota_refuses_pods_and_says_so(server: KubeServer, cluster: Cluster) -> None:
    server.refuse_pods("exceeded quota: compute, requested: cpu=4, used: cpu=0, limited: cpu=2", cluster.namespace)
    cluster.run("much", "pass")
    selector = "involvedObject.name=much,reason=FailedCreate"
    listed = eventually(lambda: cluster.core.list_namespaced_event(cluster.namespace, field_selector=selector).items)
    assert "exceeded quota: compute" in listed[0].message
    server.heal()
    assert ends(cluster.ended("much")) == {"Complete": "CompletionsReached"}


def test_pods_go_where_labels_taints_and_room_let_them(server: KubeServer, cluster: Cluster) -> None:
    taint = {"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}
    server.add_node("tpu-1", labels={"pool": "tpu"}, taints=[taint], allocatable={"google.com/tpu": "4"})
    chips = {"limits": {"google.com/tpu": "8"}}
    toleration = [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}]
    pod = {"nodeSelector": {"pool": "tpu"}, "tolerations": toleration, "container": {"resources": chips}}
    cluster.run("tpu", "pass", pod=pod)

    def why() -> str:
        conditions = [one for each in cluster.pods("tpu") for one in each.status.conditions or []]
        return next((one.message for one in conditions if one.reason == "Unschedulable"), "")

    assert "1 Insufficient google.com/tpu" in eventually(why)
    server.add_node("tpu-2", labels={"pool": "tpu"}, taints=[taint], allocatable={"google.com/tpu": "8"})
    cluster.ended("tpu")
    assert cluster.pods("tpu")[0].spec.node_name == "tpu-2"


def test_thousands_of_idle_pods_need_no_process(server: KubeServer, cluster: Cluster) -> None:
    server.images["idle"] = Image(idle=True)
    for number in range(50):
        made = job(f"many-{number}", "", pod={"container": {"image": "idle"}})
        server.registry.create(server.resource("jobs"), cluster.namespace, made)
    pods = eventually(
        lambda: (
            len(found := [p for p in server.pods("", cluster.namespace) if p["status"]["phase"] == "Running"]) == 50
            and found
        )
    )
    server.finish(pods[0], 0)
    assert ends(cluster.ended(pods[0]["metadata"]["labels"]["job-name"])) == {"Complete": "CompletionsReached"}


def test_the_clock_of_the_server_is_its_own() -> None:
    with KubeServer(clock_offset=3600) as ahead:
        made = ahead.store.list(ahead.resource("namespaces"))[0][0]
        assert made["metadata"]["creationTimestamp"] > time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3500)
        )


def test_leader_worker_sets_are_objects_of_their_own_group(cluster: Cluster) -> None:
    api = client.CustomObjectsApi(cluster.api)
    where = ("leaderworkerset.x-k8s.io", "v1", cluster.namespace, "leaderworkersets")
    api.create_namespaced_custom_object(*where, {"metadata": {"name": "pathways"}, "spec": {"replicas": 1}})
    (item,) = api.list_namespaced_custom_object(*where)["items"]
    assert (item["kind"], item["metadata"]["generation"]) == ("LeaderWorkerSet", 1)
    api.delete_namespaced_custom_object(*where, "pathways", propagation_policy="Foreground")
    eventually(lambda: not api.list_namespaced_custom_object(*where)["items"])
    groups = [group.name for group in client.ApisApi(cluster.api).get_api_versions().groups]
    assert {"batch", "leaderworkerset.x-k8s.io"} <= set(groups)
