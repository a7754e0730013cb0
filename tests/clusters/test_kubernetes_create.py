"""Creating on Kubernetes when answers are lost, names are taken, and objects are refused: once, or a clear refusal."""

from __future__ import annotations

import base64
import json

import pytest
from kube.resources import JOBS, SECRETS

from airflow_provider_kinetic.clusters.base import ClusterRefused, JobExists
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, QuotaExceeded
from airflow_provider_kinetic.model.status import JobState

MINE = {
    "airflow-provider-kinetic/dag": "etl",
    "airflow-provider-kinetic/spec": "1",
    "airflow-provider-kinetic/try": "1",
}
LATER = {**MINE, "airflow-provider-kinetic/try": "2"}
THEIRS = {**MINE, "airflow-provider-kinetic/dag": "other"}
SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def jobs(server):
    return lambda: server.store.list(JOBS, "default")[0]


@pytest.fixture
def secrets(server):
    """Values by name of each Secret."""

    def read():
        found = server.store.list(SECRETS, "default")[0]
        return {
            one["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
            for one in found
        }

    return read


@pytest.mark.parametrize("drop", ["before", "after", "during"])
def test_a_lost_answer_is_a_creation(server, kube, jobs, drop):
    fault = server.fail(verb="create", resource="jobs", drop=drop)
    handle = kube.start("print('once')", annotations=MINE)
    assert fault.times == 0
    kube.wait(handle, JobState.SUCCEEDED)
    assert len(jobs()) == 1


def test_a_lost_answer_with_secrets_is_a_creation_with_its_secret(server, kube, secrets):
    server.fail(verb="create", resource="jobs", drop="after")
    server.fail(verb="create", resource="secrets", drop="after")
    handle = kube.start("import os; print(os.environ['KEY'])", secrets={"KEY": "s3cret"}, annotations=MINE)
    kube.says(handle, "s3cret")
    assert secrets() == {"kinetic-job-0-env": {"KEY": "s3cret"}}


def test_a_job_of_somebody_else_is_not_mistaken_for_the_own_lost_one(server, kube, jobs, secrets):
    kube.cluster.create(kube.manifest(SLEEP, name="kinetic-x", job_id="job-x", annotations=THEIRS))
    server.fail(verb="create", resource="jobs", drop="before", times=2)
    mine = kube.manifest(SLEEP, name="kinetic-x", job_id="job-x", annotations=MINE)
    with pytest.raises(JobExists):
        kube.cluster.create(mine, secrets={"KEY": "s3cret"})
    assert len(jobs()) == 1
    assert secrets() == {}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(server, kube, jobs, status):
    server.fail(verb="create", resource="jobs", status=status, times=2)
    kube.start("pass")
    assert len(jobs()) == 1


def test_retry_after_is_honoured(server, kube):
    server.fail(verb="create", resource="jobs", status=429, retry_after=1)
    kube.start("pass")
    first, second = [one.at for one in server.requests if (one.verb, one.resource) == ("create", "jobs")]
    assert second - first >= 1


def test_retry_after_beyond_the_patience_is_not_waited_for(server, kube):
    server.fail(verb="create", resource="jobs", status=429, retry_after=3600, message="too many requests")
    with pytest.raises(ClusterError, match="too many requests"):
        kube.start("pass")
    assert server.requests.count("create", "jobs") == 1


def test_an_error_of_the_server_that_stays_is_said(server, kube):
    server.fail(verb="create", resource="jobs", status=500, times=9, message="etcdserver: no leader")
    with pytest.raises(ClusterError, match="etcdserver: no leader"):
        kube.start("pass")
    assert server.requests.count("create", "jobs") == 3


def test_a_secret_goes_with_its_job_and_is_nowhere_else(server, kube, secrets):
    handle = kube.start(SLEEP, secrets={"KEY": "s3cret"})
    kube.wait(handle, JobState.RUNNING)
    assert secrets() == {f"{handle.k8s_name}-env": {"KEY": "s3cret"}}
    assert "s3cret" not in json.dumps(
        [server.store.list(server.resource(one))[0] for one in ("jobs", "pods", "events")]
    )
    assert kube.cluster.delete(handle, wait=15)
    kube.until(lambda: not secrets(), "Secret gone")


def test_adoption_makes_a_missing_secret_again(server, connect, kube, secrets):
    manifest = kube.manifest("import os; print(os.environ['KEY'])", annotations=MINE)
    server.fail(verb="create", resource="secrets", status=503, times=99)
    with pytest.raises(ClusterError):
        connect(patience=0.3).create(manifest, secrets={"KEY": "s3cret"})
    server.heal()
    later = kube.manifest("", name=manifest.name, job_id=manifest.job_id, annotations=LATER)
    with pytest.raises(JobExists):
        kube.cluster.create(later, secrets={"KEY": "s3cret"})
    kube.says(kube.handle(manifest), "s3cret")
    with pytest.raises(JobExists):
        kube.cluster.create(later, secrets={"KEY": "s3cret"})
    assert list(secrets()) == [f"{manifest.name}-env"]


@pytest.mark.parametrize("annotations", [THEIRS, {}])
def test_a_job_of_another_task_gets_no_secret(kube, secrets, annotations):
    manifest = kube.manifest(SLEEP, annotations=annotations)
    kube.cluster.create(manifest)
    mine = kube.manifest(SLEEP, name=manifest.name, job_id=manifest.job_id, annotations=MINE)
    with pytest.raises(JobExists):
        kube.cluster.create(mine, secrets={"KEY": "s3cret"})
    assert secrets() == {}


def test_a_job_that_is_over_gets_no_secret(kube, secrets):
    manifest = kube.manifest("pass", annotations=MINE)
    kube.cluster.create(manifest)
    kube.wait(kube.handle(manifest), JobState.SUCCEEDED)
    with pytest.raises(JobExists):
        kube.cluster.create(manifest, secrets={"KEY": "s3cret"})
    assert secrets() == {}


def _secret(secret, **owner):
    owners = [{"apiVersion": "batch/v1", "kind": "Job", **owner}] if owner else []
    return {"metadata": {"name": secret, "ownerReferences": owners}, "data": {"KEY": base64.b64encode(b"old").decode()}}


def test_a_secret_that_an_earlier_job_of_that_name_left_is_replaced(server, kube, secrets):
    manifest = kube.manifest(SLEEP)
    earlier = kube.start(SLEEP)
    uid = server.store.get(JOBS, "default", earlier.k8s_name)["metadata"]["uid"]
    server.registry.create(SECRETS, "default", _secret(f"{manifest.name}-env", name=manifest.name, uid=uid))
    kube.cluster.create(manifest, secrets={"KEY": "new"})
    assert secrets() == {f"{manifest.name}-env": {"KEY": "new"}}


def test_a_secret_of_somebody_else_is_left_alone(server, kube, secrets):
    manifest = kube.manifest(SLEEP)
    server.registry.create(SECRETS, "default", _secret(f"{manifest.name}-env"))
    with pytest.raises(ClusterError, match="does not belong to the Job"):
        kube.cluster.create(manifest, secrets={"KEY": "new"})
    assert secrets() == {f"{manifest.name}-env": {"KEY": "old"}}


def test_a_job_whose_secret_is_refused_is_taken_back(server, kube, jobs):
    server.fail(verb="create", resource="secrets", status=403, message='secrets is forbidden: User "x" cannot create')
    with pytest.raises(ClusterRefused, match="Missing permission: create secrets"):
        kube.start(SLEEP, secrets={"KEY": "s3cret"})
    kube.until(lambda: not jobs(), "Job gone")


@pytest.mark.parametrize("where", ["env", "secrets"])
def test_five_megabytes_of_environment_are_refused_before_anything_is_sent(server, kube, where):
    large = {f"V{number}": "x" * 100_000 for number in range(50)}
    before = len(server.requests)
    with pytest.raises(ConfigurationError, match="5,000"):
        kube.cluster.create(
            kube.manifest("pass", env=large if where == "env" else {}), secrets=large if where == "secrets" else None
        )
    assert len(server.requests) == before


def test_an_environment_that_fits_arrives_whole(kube):
    values = {f"V{number}": "ä" * 50_000 for number in range(8)}
    handle = kube.start("import os; print(sum(len(os.environ[f'V{n}']) for n in range(8)))", env=values)
    kube.says(handle, "400000")


@pytest.mark.parametrize("name", ["Ünïcödé ☃ / task", "x" * 250, "日本" * 125])
def test_names_of_any_kind_reach_the_job_and_come_back(kube, name):
    annotations = {f"airflow-provider-kinetic/{key}": name for key in ("dag", "task", "run")}
    handle = kube.start("pass", annotations=annotations)
    assert kube.cluster.annotations(handle) == annotations
    kube.wait(handle, JobState.SUCCEEDED)
    (summary,) = kube.cluster.list()
    assert dict(summary.annotations) == annotations


def test_what_the_server_says_of_an_invalid_object_is_shown(kube, jobs):
    illegal = [{"name": "Not A Name", "image": "i"}]
    with pytest.raises(ConfigurationError, match="is invalid:") as refused:
        kube.start("pass", pod_override={"spec": {"initContainers": illegal}})
    assert "pod_override" in refused.value.advice
    assert jobs() == []


def test_a_quota_of_objects_is_told_from_a_missing_permission(server, kube):
    full = 'jobs.batch "a" is forbidden: exceeded quota: team, requested: count/jobs.batch=1, used: 5, limited: 5'
    server.fail(verb="create", resource="jobs", status=403, message=full)
    with pytest.raises(QuotaExceeded, match="exceeded quota: team") as refused:
        kube.start("pass")
    assert "kubectl describe resourcequota --namespace=default" in refused.value.advice


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_webhook_that_refuses_is_named(server, kube, status):
    said = 'admission webhook "policy.example" denied the request: no owner label'
    server.fail(verb="create", resource="jobs", status=status, message=said)
    with pytest.raises(ClusterRefused, match=r"webhook policy\.example refuses to create jobs\.batch.*no owner label"):
        kube.start("pass")


def test_a_webhook_that_is_down_is_no_fault_of_the_job(server, kube):
    said = 'Internal error occurred: failed calling webhook "policy.example": connection refused'
    server.fail(verb="create", resource="jobs", status=500, times=2, message=said)
    kube.start("pass")
    server.fail(verb="create", resource="jobs", status=500, times=9, message=said)
    with pytest.raises(ClusterError, match=r"webhook policy\.example does not answer"):
        kube.start("pass")


def test_a_namespace_that_does_not_exist_is_named(kube):
    with pytest.raises(ClusterRefused, match="There is no namespace 'nowhere'") as refused:
        kube.start("pass", namespace="nowhere")
    assert "kubectl create namespace nowhere" in refused.value.advice


def test_a_namespace_that_ends_is_named(server, kube):
    why = "unable to create new content in namespace default because it is being terminated"
    server.fail(verb="create", resource="jobs", status=403, message=f'jobs.batch "a" is forbidden: {why}')
    with pytest.raises(ClusterError, match="The namespace 'default' is being deleted"):
        kube.start("pass")
