"""The Test of a connection to a cluster: in order, each failure with the role or the command that mends it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gcs_objects import Bucket
from gcs_server import GcsServer
from google_apis import CLUSTER, PROJECT, ZONE, GoogleApis
from kube import KubeServer
from kube.rbac import Rule

from airflow_provider_kinetic.hooks.checks import Check, check_target, summary
from airflow_provider_kinetic.hooks.kinetic import KineticHook

SUBMIT = "submit@acme.iam.gserviceaccount.com"
BUCKET = f"{PROJECT}-kn-{CLUSTER}-jobs"
ORDER = ["settings", "credentials", "bucket", "cluster", "service account", "accelerators"]
RUNS_JOBS = [
    Rule(["create", "get", "list", "watch", "delete"], ["jobs"]),
    Rule(["list", "watch", "get"], ["pods", "pods/log", "events"]),
    Rule(["create"], ["secrets"]),
    Rule(["create"], ["selfsubjectaccessreviews"]),
]


@pytest.fixture(autouse=True)
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    with GcsServer(BUCKET) as server:
        server.buckets[BUCKET].project = PROJECT
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
        assert server.unknown == []


@pytest.fixture
def gke(google: GoogleApis, connect: Any) -> KineticHook:
    """A connection with which all is well."""
    connect("google_cloud_default", "google_cloud_platform", **google.connection(SUBMIT))
    connect("kinetic_default", "kinetic", platform="gke", project=PROJECT, zone=ZONE, cluster=CLUSTER)
    google.description["nodePools"] = [
        {"name": "default", "config": {"machineType": "e2-standard-4"}},
        {"name": "l4", "config": {"machineType": "g2", "accelerators": [{"acceleratorType": "nvidia-l4"}]}},
        {"name": "v5e", "config": {"machineType": "ct5lp-hightpu-4t"}},
    ]
    return KineticHook()


@pytest.fixture
def plain(kube: KubeServer, connect: Any, tmp_path: Path) -> KineticHook:
    """The same on a cluster that is not Google's."""
    connect("kubernetes_default", "kubernetes", kube_config_path=str(kube.kubeconfig(tmp_path / "config")))
    connect("kinetic_default", "kinetic", platform="kubernetes", bucket=BUCKET)
    return KineticHook()


def checks_of(hook: KineticHook) -> list[Check]:
    return check_target(hook.ports, hook.target)


def the_failure(checks: Sequence[Check]) -> Check:
    (failed,) = (check for check in checks if not check.ok)
    assert failed.advice
    assert failed.advice in summary(checks)[1]
    return failed


def test_all_is_well_on_gke(gke: KineticHook, gcs: GcsServer) -> None:
    checks = {check.name: check for check in checks_of(gke)}
    assert list(checks) == ORDER
    ok, text = gke.test_connection()
    assert ok, text
    assert SUBMIT in checks["credentials"].detail
    assert "nvidia-l4 in the pool l4, ct5lp-hightpu-4t in the pool v5e" in checks["accelerators"].detail
    assert list(gcs.buckets[BUCKET].names()) == [], "no probe is left"


def test_all_is_well_on_any_cluster(plain: KineticHook, kube: KubeServer) -> None:
    kube.add_node("gpu-1", labels={"cloud.google.com/gke-accelerator": "nvidia-l4"})
    checks = {check.name: check for check in checks_of(plain)}
    assert list(checks) == ORDER
    ok, text = plain.test_connection()
    assert ok, text
    assert "1 node with GPUs" in checks["accelerators"].detail
    assert "default" in checks["service account"].detail


def test_no_accelerators_is_a_warning(gke: KineticHook, google: GoogleApis) -> None:
    google.description["nodePools"] = []
    ok, text = gke.test_connection()
    assert ok
    assert "no node pool" in text
    assert "add a node pool" in text


def test_credentials_that_cannot_be_used(gke: KineticHook, connect: Any) -> None:
    """Nothing else could be tried."""
    connect("google_cloud_default", "google_cloud_platform", keyfile_dict="{")
    checks = checks_of(gke)
    assert the_failure(checks).name == "credentials"
    assert [check.name for check in checks] == ["settings", "credentials"]


def test_there_is_no_such_bucket(gke: KineticHook, gcs: GcsServer) -> None:
    del gcs.buckets[BUCKET]
    failed = the_failure(checks_of(gke))
    assert failed.name == "bucket"
    assert f"gcloud storage buckets create gs://{BUCKET}" in failed.advice


@pytest.mark.parametrize("permission", ["storage.objects.create", "storage.objects.get", "storage.objects.delete"])
def test_the_bucket_may_not_be_used(gke: KineticHook, gcs: GcsServer, permission: str) -> None:
    gcs.faults.denied.add(permission)
    failed = the_failure(checks_of(gke))
    assert failed.name == "bucket"
    assert permission in failed.detail
    assert "roles/storage.objectUser" in failed.advice


def test_the_bucket_belongs_to_somebody_else(gke: KineticHook, gcs: GcsServer) -> None:
    gcs.buckets[BUCKET].project = "squatter"
    failed = the_failure(checks_of(gke))
    assert failed.name == "bucket"
    assert f"not one of the project {PROJECT!r}" in failed.detail


@pytest.mark.usefixtures("gke")
def test_a_bucket_of_another_project_may_be_meant(gcs: GcsServer, connect: Any) -> None:
    gcs.buckets["shared"] = Bucket("shared", "elsewhere")
    place = {"project": PROJECT, "zone": ZONE, "cluster": CLUSTER}
    connect("kinetic_default", "kinetic", platform="gke", bucket="shared", **place)
    ok, text = KineticHook().test_connection()
    assert ok, text
    assert f"it is not one of {PROJECT}" in text


@pytest.mark.usefixtures("gke")
def test_outputs_in_another_bucket(connect: Any) -> None:
    place = {"project": PROJECT, "zone": ZONE, "cluster": CLUSTER}
    connect("kinetic_default", "kinetic", platform="gke", output_root="gs://nowhere/outputs", **place)
    assert the_failure(checks_of(KineticHook())).name == "outputs"


@pytest.mark.usefixtures("gke")
def test_the_cluster_does_not_exist(connect: Any) -> None:
    connect("kinetic_default", "kinetic", platform="gke", project=PROJECT, zone=ZONE, cluster="gone", bucket=BUCKET)
    failed = the_failure(checks_of(KineticHook()))
    assert failed.name == "cluster"
    assert "no cluster 'gone'" in failed.detail


def test_the_cluster_may_not_be_looked_at(gke: KineticHook, google: GoogleApis) -> None:
    google.viewers = set()
    failed = the_failure(checks_of(gke))
    assert failed.name == "cluster"
    assert "roles/container.clusterViewer" in failed.advice


@pytest.mark.parametrize("lacking", ["jobs", "pods/log", "secrets"])
def test_jobs_may_not_be_run(gke: KineticHook, google: GoogleApis, lacking: str) -> None:
    kept = [Rule(rule.verbs, [each for each in rule.resources if each != lacking]) for rule in RUNS_JOBS]
    google.rules[SUBMIT] = kept
    failed = the_failure(checks_of(gke))
    assert failed.name == "cluster"
    assert lacking.partition("/")[0] in failed.detail
    assert "roles/container.developer" in failed.advice


def test_what_cannot_be_seen_is_no_failure(gke: KineticHook, google: GoogleApis, gcs: GcsServer) -> None:
    google.rules[SUBMIT] = RUNS_JOBS
    gcs.faults.denied.add("storage.buckets.list")
    ok, text = gke.test_connection()
    assert ok, text
    assert text.count("cannot be seen") == 2


@pytest.mark.usefixtures("gke")
def test_there_is_no_service_account(connect: Any) -> None:
    """P7: on a cluster that upstream's client made it is in `default` only."""
    place = {"project": PROJECT, "zone": ZONE, "cluster": CLUSTER}
    connect("kinetic_default", "kinetic", platform="gke", service_account="trainer", namespace="team", **place)
    failed = the_failure(checks_of(KineticHook()))
    assert failed.name == "service account"
    assert "kubectl create serviceaccount trainer --namespace team" in failed.advice
    assert "roles/iam.workloadIdentityUser" in failed.advice


@pytest.mark.usefixtures("gke")
def test_there_is_no_namespace(connect: Any) -> None:
    place = {"project": PROJECT, "zone": ZONE, "cluster": CLUSTER}
    connect("kinetic_default", "kinetic", platform="gke", namespace="nowhere", **place)
    failed = the_failure(checks_of(KineticHook()))
    assert "nowhere" in failed.detail


@pytest.mark.usefixtures("plain")
def test_a_kubeconfig_that_is_missing(connect: Any) -> None:
    """The bucket is tried all the same."""
    connect("kubernetes_default", "kubernetes", kube_config_path="/nowhere")
    checks = checks_of(KineticHook())
    assert the_failure(checks).name == "cluster"
    assert [check.name for check in checks if check.ok] == ["settings", "credentials", "bucket"]
    assert os.environ["STORAGE_EMULATOR_HOST"] in checks[1].detail
