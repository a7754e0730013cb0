"""What a pod's process gets, says and leaves."""

from __future__ import annotations

import pytest
from kube.cluster import Cluster, ends, eventually
from kubernetes.client import ApiException

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PRINT = "import os; print(os.environ.get('{0}'))"


def output(cluster: Cluster, name: str) -> str:
    cluster.ended(name)
    (pod,) = cluster.pods(name)
    return cluster.log(pod.metadata.name)


def test_variables_come_from_values_secrets_fields_and_each_other(cluster: Cluster) -> None:
    cluster.core.create_namespaced_secret(
        cluster.namespace, {"metadata": {"name": "vault"}, "stringData": {"key": "hush", "MORE": "too"}}
    )
    env = [
        {"name": "PLAIN", "value": "a"},
        {"name": "BUILT", "value": "$(PLAIN)-$(MISSING)-$$(PLAIN)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "key"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['job-name']"}}},
    ]
    container = {"env": env, "envFrom": [{"secretRef": {"name": "vault"}}]}
    code = "import os; print(*(os.environ[name] for name in ('BUILT', 'SECRET', 'POD', 'MORE')))"
    cluster.run("env", code, pod={"container": container})
    assert output(cluster, "env") == "a-$(MISSING)-$(PLAIN) hush env too\n"


def test_the_variables_of_the_test_are_not_the_pods(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "of the worker")
    cluster.run("alone", PRINT.format("AIRFLOW_HOME"))
    assert output(cluster, "alone") == "None\n"


def test_a_container_waits_for_its_secret(cluster: Cluster) -> None:
    env = [{"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "later", "key": "key"}}}]
    cluster.run("early", PRINT.format("SECRET"), pod={"container": {"env": env}})

    def waits() -> bool:
        pods = cluster.pods("early")
        statuses = pods[0].status.container_statuses if pods else None
        return bool(statuses) and statuses[0].state.waiting.reason == "CreateContainerConfigError"

    eventually(waits)
    cluster.core.create_namespaced_secret(
        cluster.namespace, {"metadata": {"name": "later"}, "stringData": {"key": "here"}}
    )
    assert output(cluster, "early") == "here\n"


def test_a_mounted_secret_is_a_file(cluster: Cluster) -> None:
    cluster.core.create_namespaced_secret(
        cluster.namespace, {"metadata": {"name": "vault"}, "stringData": {"key.json": "{}"}}
    )
    pod = {
        "volumes": [{"name": "keys", "secret": {"secretName": "vault"}}],
        "container": {
            "volumeMounts": [{"name": "keys", "mountPath": "/var/keys"}],
            "env": [{"name": "KEY", "value": "/var/keys/key.json"}],
        },
    }
    cluster.run("mounted", "import os; print(open(os.environ['KEY']).read())", pod=pod)
    assert output(cluster, "mounted") == "{}\n"


def test_a_deleted_pod_gets_sigterm_and_its_grace(cluster: Cluster) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(print('bye') or 7)); "
    code += "print('up'); time.sleep(60)"
    cluster.run("polite", code, backoffLimit=3, podReplacementPolicy="Failed")
    name = cluster.pod_runs("polite").metadata.name
    eventually(lambda: "up" in cluster.log(name))
    lines = cluster.core.read_namespaced_pod_log(name, cluster.namespace, follow=True, _preload_content=False)
    cluster.core.delete_namespaced_pod(name, cluster.namespace)
    assert b"bye" in lines.data
    eventually(lambda: name not in [pod.metadata.name for pod in cluster.pods("polite")])
    eventually(lambda: cluster.job("polite").status.failed == 1)


def test_a_pod_that_will_not_end_is_killed(cluster: Cluster) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)"
    cluster.run("stubborn", code)
    name = cluster.pod_runs("stubborn").metadata.name
    eventually(lambda: "up" in cluster.log(name))
    cluster.core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=1)
    assert cluster.core.read_namespaced_pod(name, cluster.namespace).status.phase == "Running"
    eventually(lambda: not cluster.pods("stubborn"))
    assert ends(cluster.ended("stubborn")) == {"Failed": "BackoffLimitExceeded"}


def test_logs_by_tail_time_and_stamp(cluster: Cluster) -> None:
    cluster.run("talk", "print('one'); print('two'); import time; time.sleep(1.5); print('three')")
    cluster.ended("talk")
    (pod,) = cluster.pods("talk")
    name = pod.metadata.name
    assert cluster.log(name) == "one\ntwo\nthree\n"
    assert cluster.log(name, tail_lines=2) == "two\nthree\n"
    assert cluster.log(name, limit_bytes=5) == "one\nt"
    stamped = cluster.log(name, timestamps=True).splitlines()
    assert [line.split(" ")[1] for line in stamped] == ["one", "two", "three"]
    last = stamped[-1].split(" ")[0][:26] + "Z"
    query = [("sinceTime", last)]
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}/log"
    options = {"query_params": query, "auth_settings": ["BearerToken"], "_preload_content": False}
    assert cluster.api.call_api(path, "GET", **options).data == b"three\n"


def test_a_pod_without_a_node_has_no_log(cluster: Cluster) -> None:
    cluster.run("stuck", "pass", pod={"nodeSelector": {"kinetic.example.com/none": "such"}})

    def why() -> str:
        pods = cluster.pods("stuck")
        conditions = (pods[0].status.conditions or []) if pods else []
        return next((each.message for each in conditions if each.reason == "Unschedulable"), "")

    assert "didn't match Pod's node affinity/selector" in eventually(why)
    with pytest.raises(ApiException) as caught:
        cluster.log(cluster.pods("stuck")[0].metadata.name)
    assert caught.value.status == 400


def test_a_program_that_is_not_there_is_told(cluster: Cluster) -> None:
    cluster.run("absent", "pass", pod={"container": {"command": ["/no/such/program"]}})
    cluster.ended("absent")
    state = cluster.pods("absent")[0].status.container_statuses[0].state.terminated
    assert (state.exit_code, state.reason) in [(128, "StartError"), (127, "Error")]
