"""What is seen of a namespace: listings in pages, of one or all namespaces, outputs, permissions, nodes, accounts."""

from __future__ import annotations

import pytest
from kube import Rule
from kube.resources import JOBS, LEADER_WORKER_SETS

from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.kubernetes_logs import AT_MOST, end_of
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.status import JobState

READ = ["get", "list", "watch"]


@pytest.fixture
def teams(server):
    for name in ("vision", "speech"):
        server.add_namespace(name)


def names(summaries):
    return sorted((one.namespace, one.name) for one in summaries)


def test_a_listing_of_many_pages_is_whole(server, connect, kube):
    handles = [kube.start("", image="idle") for _ in range(8)]
    server.fail(verb="list", resource="jobs", status=503)
    assert len(connect(page=3).list()) == len(handles)
    assert server.requests.count("list", "jobs") == 4


def test_pages_that_expire_are_read_again(server, connect, kube):
    for _ in range(5):
        kube.start("", image="idle")
    before = server.requests.count("list", "jobs")
    server.fail(verb="list", resource="jobs", status=410)
    assert len(connect(page=3).list()) == 5
    assert server.requests.count("list", "jobs") == before + 3


def test_pages_that_always_expire_are_an_error(server, kube):
    server.fail(verb="list", resource="jobs", status=410, times=99, message="too old resource version")
    with pytest.raises(ClusterError, match="too old resource version"):
        kube.cluster.list()


def test_what_is_no_job_of_kinetic_is_not_listed_and_breaks_nothing(server, kube):
    mine = kube.start("", image="idle")
    for name, labels in {"other": {"app": "web"}, "strange": {"app": "kinetic"}}.items():
        container = {"name": "c", "image": "idle", "command": ["python3"]}
        spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
        server.registry.create(JOBS, "default", {"metadata": {"name": name, "labels": labels}, "spec": spec})
    labels = {"app": "kinetic-pathways", "job-id": "job-x"}
    broken = {"metadata": {"name": "broken", "labels": labels}, "spec": {"replicas": []}, "status": {"conditions": 7}}
    server.registry.create(LEADER_WORKER_SETS, "default", broken)
    assert names(kube.cluster.list()) == [("default", "broken"), ("default", mine.k8s_name)]


def test_who_may_not_list_groups_still_sees_jobs(server, connect, kube, caplog):
    kube.start("", image="idle")
    limited = connect(server.token("limited", [Rule(["*"], ["jobs", "pods"], ["default"])]))
    assert len(limited.list()) == 1
    assert "leaderworkersets" in caplog.text


@pytest.mark.usefixtures("teams")
def test_each_team_has_its_namespace(connect, kube):
    vision, speech = connect(namespace="vision"), connect(namespace="speech")
    one = kube.start("print('v')", namespace="vision", name="kinetic-same")
    two = kube.start("print('s')", namespace="speech", name="kinetic-same")
    kube.wait(one, JobState.SUCCEEDED)
    kube.wait(two, JobState.SUCCEEDED)
    assert (kube.cluster.tail(one), kube.cluster.tail(two)) == ("v\n", "s\n")
    assert [names(one.list()) for one in (vision, speech, kube.cluster)] == [
        [("vision", "kinetic-same")],
        [("speech", "kinetic-same")],
        [],
    ]
    assert names(kube.cluster.list(everywhere=True)) == [("speech", "kinetic-same"), ("vision", "kinetic-same")]
    assert {one.status.state for one in kube.cluster.list(everywhere=True)} == {JobState.SUCCEEDED}
    assert kube.cluster.delete(one, wait=15)
    assert kube.cluster.status(two).state is JobState.SUCCEEDED


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ([Rule(READ, ["namespaces"]), Rule(READ, ["jobs", "pods"], ["vision", "speech"])], ["speech", "vision"]),
        ([Rule(READ, ["namespaces"]), Rule(READ, ["jobs", "pods"], ["vision"])], ["vision"]),
        ([Rule(READ, ["jobs", "pods"], ["vision", "speech"])], ["vision"]),
    ],
)
def test_everywhere_is_where_one_may_look(server, connect, kube, rules, seen):
    for namespace in ("vision", "speech"):
        kube.start("", image="idle", namespace=namespace)
    limited = connect(server.token("limited", rules), namespace="vision")
    assert sorted(one.namespace for one in limited.list(everywhere=True)) == seen


def test_a_long_output_is_cut_at_its_beginning(kube):
    handle = kube.start("print('x' * 1_500_000, flush=True); print('the end')")
    kube.wait(handle, JobState.SUCCEEDED)
    said = kube.cluster.tail(handle)
    assert said.endswith("x\nthe end\n")
    assert len(said) == AT_MOST


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_the_end_of_a_stream_is_its_end(size):
    assert end_of([b"ab", b"", b"cd", b"e"], size) == b"abcde"[-size:]


def test_a_container_that_has_not_started_has_said_nothing(server, kube):
    server.unschedulable("no node")
    handle = kube.start("pass")
    kube.until(lambda: server.pods(handle.k8s_name), "pod")
    assert kube.cluster.tail(handle) == ""


def test_bytes_that_are_no_text_are_shown_as_such(kube):
    handle = kube.start("import sys; sys.stdout.buffer.write(b'\\xff ok')")
    kube.wait(handle, JobState.SUCCEEDED)
    assert kube.cluster.tail(handle).strip() == "\ufffd ok"


def test_check_names_the_server_and_what_may_be_done(server, kube):
    assert kube.cluster.check() == (
        f"Kubernetes v1.36.0 at {server.url}: may create Jobs and read pods and logs in namespace 'default'"
    )


def test_check_names_everything_that_is_missing(server, connect):
    limited = connect(server.token("limited", [Rule(READ, ["jobs", "pods", "events", "namespaces"])]))
    missing = r"create jobs\.batch, delete jobs\.batch, get pods/log, create secrets\."
    with pytest.raises(ClusterError, match=f"Missing permissions in namespace 'default' of .*: {missing}") as refused:
        limited.check()
    assert "roles/container.developer" in refused.value.advice


def test_check_accepts_what_is_enough(server, connect):
    rules = [Rule(["*"], ["jobs", "pods", "pods/log", "secrets"], ["default"])]
    assert "may not list events" in connect(server.token("enough", rules)).check()


def test_check_finds_a_namespace_that_does_not_exist(connect):
    with pytest.raises(ClusterError, match="no namespace 'nowhere'"):
        connect(namespace="nowhere").check()


def test_nodes_are_counted_where_they_may_be_seen(server, connect):
    pool = {"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice", "cloud.google.com/gke-tpu-topology": "1x1"}
    server.add_node("tpu-1", labels=pool)
    server.add_node("tpu-2", labels={**pool, "cloud.google.com/gke-tpu-topology": "2x2"})
    cluster = connect()
    assert cluster.nodes(pool) == 1
    assert cluster.nodes({"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice"}) == 2
    assert cluster.nodes({"cloud.google.com/gke-tpu-accelerator": "tpu-v7"}) == 0
    assert connect(server.token("limited", [Rule(["*"], ["jobs"])])).nodes(pool) is None


def test_a_service_account_is_there_or_not_or_not_to_be_seen(server, connect):
    server.add_namespace("vision", ["trainer"])
    cluster = connect(namespace="vision")
    assert cluster.service_account_exists("trainer") is True
    assert cluster.service_account_exists("kinetic") is False
    assert connect(server.token("limited", [])).service_account_exists("default") is None


def test_names_never_leave_their_place_in_the_path():
    assert paths.job("a/b", "../c?d") == "/apis/batch/v1/namespaces/a%2Fb/jobs/..%2Fc%3Fd"
    assert paths.namespace_of(paths.job("a/b", "c")) == "a/b"
