"""What becomes of a Job: its pods, its counters, its conditions."""

from __future__ import annotations

import pytest
from kube.cluster import Cluster, ends, eventually, job
from kubernetes.client import ApiException

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

IGNORE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
FAIL_ON_117 = {
    "action": "FailJob",
    "onExitCodes": {"containerName": "kinetic-worker", "operator": "In", "values": [117]},
}


def test_a_job_that_succeeds_is_complete_and_its_pod_remains(cluster: Cluster) -> None:
    cluster.run("good", "print('hello')")
    done = cluster.ended("good")
    assert ends(done) == {"Complete": "CompletionsReached"}
    assert (done.status.succeeded, done.status.failed, done.status.active) == (1, None, None)
    assert done.status.completion_time >= done.status.start_time
    assert done.status.uncounted_terminated_pods.to_dict() == {"failed": None, "succeeded": None}
    (pod,) = cluster.pods("good")
    assert pod.status.phase == "Succeeded"
    assert pod.metadata.name.startswith("good-")
    owner = pod.metadata.owner_references[0]
    assert (owner.kind, owner.uid, owner.controller) == ("Job", done.metadata.uid, True)
    labels = pod.metadata.labels
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "good"
    assert labels["controller-uid"] == labels["batch.kubernetes.io/controller-uid"] == done.metadata.uid
    assert not pod.metadata.finalizers
    assert cluster.log(pod.metadata.name) == "hello\n"


def test_a_running_job_is_active_and_its_pod_ready(cluster: Cluster) -> None:
    cluster.run("long", "import time; time.sleep(60)")
    pod = cluster.pod_runs("long")
    found = eventually(lambda: (job := cluster.job("long")).status.ready and job)
    assert (found.status.active, found.status.ready, found.status.succeeded) == (1, 1, None)
    assert pod.spec.node_name
    state = pod.status.container_statuses[0]
    assert state.state.running.started_at
    assert {each.type: each.status for each in pod.status.conditions}["PodScheduled"] == "True"


def test_an_exit_code_reaches_pod_and_job(cluster: Cluster) -> None:
    code = "import os; open('/dev/termination-log', 'w').write('last words'); os._exit(3)"
    cluster.run("bad", code)
    done = cluster.ended("bad")
    assert ends(done) == {"Failed": "BackoffLimitExceeded"}
    assert (done.status.failed, done.status.completion_time) == (1, None)
    (pod,) = cluster.pods("bad")
    ended = pod.status.container_statuses[0].state.terminated
    assert (pod.status.phase, ended.exit_code, ended.reason, ended.message) == ("Failed", 3, "Error", "last words")
    assert ended.started_at
    assert ended.finished_at


def test_a_failed_pod_is_replaced_within_the_backoff_limit(cluster: Cluster) -> None:
    cluster.run("again", "raise SystemExit(1)", backoffLimit=1)
    done = cluster.ended("again")
    assert done.status.failed == 2
    assert len(cluster.pods("again")) == 2


def test_the_failure_policy_ends_a_job_whose_limit_is_not_reached(cluster: Cluster) -> None:
    policy = {"rules": [IGNORE, FAIL_ON_117]}
    cluster.run("spent", "raise SystemExit(117)", backoffLimit=5, podFailurePolicy=policy)
    done = cluster.ended("spent")
    assert ends(done) == {"Failed": "PodFailurePolicy"}
    failed = next(each for each in done.status.conditions if each.type == "Failed")
    assert "exit code 117 matching FailJob rule at index 1" in failed.message
    assert "FailureTarget" in {each.type for each in done.status.conditions}
    assert len(cluster.pods("spent")) == 1


def test_an_evicted_pod_is_replaced_and_not_counted(cluster: Cluster) -> None:
    cluster.run("spot", "import time; time.sleep(60)", podFailurePolicy={"rules": [IGNORE, FAIL_ON_117]})
    first = cluster.pod_runs("spot").metadata.name
    eviction = {"metadata": {"name": first}, "apiVersion": "policy/v1", "kind": "Eviction"}
    cluster.core.create_namespaced_pod_eviction(first, cluster.namespace, eviction)
    second = eventually(lambda: next((pod for pod in cluster.pods("spot") if pod.metadata.name != first), None))
    assert second.metadata.uid
    assert cluster.job("spot").status.failed is None


def test_a_deadline_stops_the_pod_and_fails_the_job(cluster: Cluster) -> None:
    cluster.run("late", "import time; time.sleep(60)", activeDeadlineSeconds=1)
    done = cluster.ended("late")
    assert ends(done) == {"Failed": "DeadlineExceeded"}
    assert not [pod for pod in cluster.pods("late") if pod.status.phase == "Running"]


def test_a_finished_job_goes_after_its_ttl(cluster: Cluster) -> None:
    cluster.run("brief", "pass", ttlSecondsAfterFinished=1)

    def gone() -> bool:
        listed = cluster.batch.list_namespaced_job(cluster.namespace).items
        return not listed and not cluster.pods("brief")

    assert eventually(gone)


def test_a_suspended_job_has_no_pod_until_it_is_resumed(cluster: Cluster) -> None:
    cluster.run("queued", "pass", suspend=True)
    found = eventually(lambda: (job := cluster.job("queued")).status.conditions and job)
    assert [(each.type, each.status) for each in found.status.conditions] == [("Suspended", "True")]
    assert found.status.start_time is None
    assert cluster.pods("queued") == []
    cluster.batch.patch_namespaced_job("queued", cluster.namespace, {"spec": {"suspend": False}})
    assert ends(cluster.ended("queued")) == {"Complete": "CompletionsReached"}


def test_a_missing_service_account_leaves_the_job_without_pods_and_an_event(cluster: Cluster) -> None:
    cluster.run("nobody", "pass", pod={"serviceAccountName": "kinetic"})
    selector = "involvedObject.name=nobody,reason=FailedCreate"

    def told() -> list[str]:
        events = cluster.core.list_namespaced_event(cluster.namespace, field_selector=selector).items
        return [each.message for each in events]

    assert 'serviceaccount "kinetic" not found' in eventually(told)[0]
    assert cluster.pods("nobody") == []
    cluster.core.create_namespaced_service_account(cluster.namespace, {"metadata": {"name": "kinetic"}})
    assert ends(cluster.ended("nobody")) == {"Complete": "CompletionsReached"}


def test_the_template_of_a_job_cannot_change(cluster: Cluster) -> None:
    cluster.run("fixed", "import time; time.sleep(60)")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "kinetic-worker", "image": "another"}]}}}}
    with pytest.raises(ApiException) as caught:
        cluster.batch.patch_namespaced_job("fixed", cluster.namespace, patch)
    assert caught.value.status == 422
    assert "field is immutable" in caught.value.body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pod": {"restartPolicy": "Always"}}, "spec.template.spec.restartPolicy"),
        ({"backoffLimit": -1}, "spec.backoffLimit"),
        ({"pod": {"container": {"image": ""}}}, "spec.template.spec.containers[0].image"),
        (
            {"pod": {"tolerations": [{"key": "spot", "operator": "Exists", "value": "true"}]}},
            "spec.template.spec.tolerations[0].operator",
        ),
    ],
)
def test_a_job_that_cannot_be_is_refused(cluster: Cluster, change: dict, field: str) -> None:
    with pytest.raises(ApiException) as caught:
        cluster.batch.create_namespaced_job(cluster.namespace, job("bad", "pass", **change))
    assert caught.value.status in (400, 422)
    assert field in caught.value.body
