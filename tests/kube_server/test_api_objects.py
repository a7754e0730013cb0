"""Objects: what create, read, change and delete answer, and which errors they meet."""

from __future__ import annotations

import json

import pytest
from kube.cluster import Cluster, eventually, job
from kubernetes import client
from kubernetes.client import ApiException

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SLEEP = "import time; time.sleep(60)"


def refused(caught: pytest.ExceptionInfo[ApiException]) -> tuple[int, str]:
    status = json.loads(caught.value.body)
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", caught.value.status)
    return caught.value.status, status["reason"]


def secret(cluster: Cluster, name: str, **meta: object) -> client.V1Secret:
    return cluster.core.create_namespaced_secret(cluster.namespace, {"metadata": {"name": name, **meta}})


def test_a_new_object_has_identity_version_time_and_defaults(cluster: Cluster) -> None:
    made = cluster.run("new", "pass", suspend=True)
    meta, spec = made.metadata, made.spec
    assert meta.uid
    assert int(meta.resource_version) > 0
    assert meta.creation_timestamp.tzinfo is not None
    assert (spec.parallelism, spec.completions, spec.completion_mode) == (1, 1, "NonIndexed")
    pod = spec.template.spec
    assert (pod.dns_policy, pod.scheduler_name, pod.restart_policy) == ("ClusterFirst", "default-scheduler", "Never")
    container = pod.containers[0]
    assert (container.termination_message_path, container.image_pull_policy) == ("/dev/termination-log", "IfNotPresent")
    assert spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": meta.uid}


def test_what_is_missing_is_not_found(cluster: Cluster) -> None:
    with pytest.raises(ApiException) as caught:
        cluster.job("nothing")
    assert refused(caught) == (404, "NotFound")
    assert 'jobs.batch \\"nothing\\" not found' in caught.value.body
    with pytest.raises(ApiException) as caught:
        cluster.batch.create_namespaced_job("no-such-namespace", job("lost", "pass"))
    assert refused(caught) == (404, "NotFound")
    assert cluster.batch.list_namespaced_job("no-such-namespace").items == []


def test_a_name_is_taken_once(cluster: Cluster) -> None:
    cluster.run("twin", "pass", suspend=True)
    with pytest.raises(ApiException) as caught:
        cluster.run("twin", "pass")
    assert refused(caught) == (409, "AlreadyExists")


def test_an_old_version_is_a_conflict(cluster: Cluster) -> None:
    old = secret(cluster, "state")
    cluster.core.patch_namespaced_secret("state", cluster.namespace, {"metadata": {"labels": {"seen": "yes"}}})
    with pytest.raises(ApiException) as caught:
        cluster.core.replace_namespaced_secret("state", cluster.namespace, old)
    assert refused(caught) == (409, "Conflict")


@pytest.mark.parametrize(
    "meta",
    [{"name": "Upper"}, {"name": "x" * 254}, {"name": "ok", "labels": {"run": "manual__2026-01-01T00:00:00+00:00"}}],
)
def test_names_and_labels_outside_the_rules_are_invalid(cluster: Cluster, meta: dict) -> None:
    with pytest.raises(ApiException) as caught:
        cluster.core.create_namespaced_secret(cluster.namespace, {"metadata": meta})
    assert refused(caught) == (422, "Invalid")


def test_a_body_of_more_than_three_megabytes_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ApiException) as caught:
        cluster.run("huge", "x" * 3_200_000)
    assert refused(caught) == (413, "RequestEntityTooLarge")


def test_a_number_where_a_text_belongs_is_a_bad_request(cluster: Cluster) -> None:
    with pytest.raises(ApiException) as caught:
        cluster.run("typed", "pass", pod={"container": {"env": [{"name": "N", "value": 1}]}})
    assert refused(caught) == (400, "BadRequest")


def test_a_dry_run_leaves_nothing(cluster: Cluster) -> None:
    cluster.batch.create_namespaced_job(cluster.namespace, job("dry", "pass"), dry_run="All")
    assert cluster.batch.list_namespaced_job(cluster.namespace).items == []


def test_selectors_choose(cluster: Cluster) -> None:
    for name, team in (("a", "red"), ("b", "blue"), ("c", "red")):
        secret(cluster, name, labels={"team": team})

    def names(**selector: str) -> list[str]:
        listed = cluster.core.list_namespaced_secret(cluster.namespace, **selector).items
        return [each.metadata.name for each in listed]

    assert names(label_selector="team=red") == ["a", "c"]
    assert names(label_selector="team in (blue, green)") == ["b"]
    assert names(label_selector="team!=red,team") == ["b"]
    assert names(field_selector="metadata.name=c") == ["c"]
    with pytest.raises(ApiException) as caught:
        names(field_selector="spec.nothing=1")
    assert refused(caught) == (400, "BadRequest")


def test_a_list_comes_in_pages_of_one_state(cluster: Cluster) -> None:
    for name in "abcde":
        secret(cluster, name)
    first = cluster.core.list_namespaced_secret(cluster.namespace, limit=2)
    cluster.core.delete_namespaced_secret("e", cluster.namespace)
    second = cluster.core.list_namespaced_secret(cluster.namespace, limit=10, _continue=first.metadata._continue)
    assert first.metadata.remaining_item_count == 3
    assert [each.metadata.name for each in first.items + second.items] == list("abcde")
    assert first.metadata.resource_version == second.metadata.resource_version
    assert not second.metadata._continue


def test_patches_of_all_three_kinds(cluster: Cluster) -> None:
    cluster.run("patched", "pass", suspend=True)

    def patch(body: object, kind: str) -> dict[str, str]:
        changed = cluster.batch.patch_namespaced_job("patched", cluster.namespace, body, _content_type=kind)
        return changed.metadata.labels

    assert patch([{"op": "add", "path": "/metadata/labels/a~1b", "value": "1"}], "application/json-patch+json")["a/b"]
    assert "app" not in patch({"metadata": {"labels": {"app": None}}}, "application/merge-patch+json")
    changed = {"metadata": {"labels": {"c": "3"}}}
    assert patch(changed, "application/strategic-merge-patch+json") == {"a/b": "1", "c": "3"}
    with pytest.raises(ApiException) as caught:
        patch([{"op": "remove", "path": "/metadata/labels/none"}], "application/json-patch+json")
    assert caught.value.status == 422


def test_finalizers_hold_an_object_until_they_are_gone(cluster: Cluster) -> None:
    secret(cluster, "held", finalizers=["kinetic.example.com/hold"])
    cluster.core.delete_namespaced_secret("held", cluster.namespace)
    assert cluster.core.read_namespaced_secret("held", cluster.namespace).metadata.deletion_timestamp
    cluster.core.patch_namespaced_secret("held", cluster.namespace, {"metadata": {"finalizers": None}})
    with pytest.raises(ApiException) as caught:
        cluster.core.read_namespaced_secret("held", cluster.namespace)
    assert caught.value.status == 404


def test_a_foreground_delete_takes_the_pods_first(cluster: Cluster) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(1), sys.exit(3))); time.sleep(60)"
    cluster.run("owner", code)
    cluster.pod_runs("owner")
    cluster.batch.delete_namespaced_job("owner", cluster.namespace, propagation_policy="Foreground")
    going = cluster.job("owner").metadata
    assert going.deletion_timestamp
    assert going.finalizers == ["foregroundDeletion"]
    eventually(lambda: not cluster.batch.list_namespaced_job(cluster.namespace).items)
    assert cluster.pods("owner") == []


def test_a_background_delete_takes_the_job_first(cluster: Cluster) -> None:
    cluster.run("owner", SLEEP)
    cluster.pod_runs("owner")
    cluster.batch.delete_namespaced_job("owner", cluster.namespace, propagation_policy="Background")
    assert cluster.batch.list_namespaced_job(cluster.namespace).items == []
    eventually(lambda: not cluster.pods("owner"))


def test_without_a_policy_a_deleted_job_leaves_its_pods(cluster: Cluster) -> None:
    cluster.run("owner", SLEEP)
    cluster.pod_runs("owner")
    cluster.batch.delete_namespaced_job("owner", cluster.namespace)
    eventually(lambda: not cluster.batch.list_namespaced_job(cluster.namespace).items)
    (pod,) = cluster.pods("owner")
    assert pod.metadata.owner_references is None
    cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)


def test_a_precondition_protects_another_object_of_the_same_name(cluster: Cluster) -> None:
    secret(cluster, "state")
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    with pytest.raises(ApiException) as caught:
        cluster.core.delete_namespaced_secret("state", cluster.namespace, body=options)
    assert refused(caught) == (409, "Conflict")


def test_a_secret_goes_with_the_job_that_owns_it(cluster: Cluster) -> None:
    owner = cluster.run("owner", SLEEP, suspend=True).metadata
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner.name, "uid": owner.uid}
    secret(cluster, "owned", ownerReferences=[reference])
    cluster.batch.delete_namespaced_job("owner", cluster.namespace, propagation_policy="Background")
    eventually(lambda: not cluster.core.list_namespaced_secret(cluster.namespace).items)
