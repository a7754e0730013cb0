"""With whose credentials an existing job is reached, and where it may be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kinetic.hooks.reach import target_of_handle
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.handle import JobHandle

UPSTREAMS = JobHandle(
    job_id="job-12345678",
    backend="gke",
    project="acme",
    cluster_name="trainer",
    zone="europe-west4-a",
    namespace="default",
    bucket_name="acme-kn-trainer-jobs",
    k8s_name="kinetic-job-12345678",
    image_uri="i",
    accelerator="cpu",
    func_name="f",
    display_name="d",
    created_at="2026-01-01T00:00:00Z",
)
GKE = replace(
    UPSTREAMS,
    platform="gke",
    kinetic_conn_id="k",
    store_root="gs://jobs",
    output_root="gs://outputs/here",
    cluster_uri="gke://acme/europe-west4-a/trainer",
)
KUBERNETES = replace(GKE, platform="kubernetes", cluster_uri="kubernetes://k8s/trainer")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**extra: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_K", json.dumps({"conn_type": "kinetic", "extra": extra}))

    return make


def test_places_come_from_the_handle_and_credentials_from_the_connection(connect: Any) -> None:
    connect(platform="gke", gcp_conn_id="g", endpoint="dns", cluster="today", zone="us-east1-b", bucket="today")
    target = target_of_handle(replace(GKE, namespace="team"), "k")
    assert (target.project, target.zone, target.cluster) == ("acme", "europe-west4-a", "trainer")
    assert (target.store_root, target.output_root) == ("gs://jobs", "gs://outputs/here")
    assert (target.namespace, target.gcp_conn_id, target.endpoint) == ("team", "g", "dns")


def test_nothing_but_the_handle_need_say_the_project(connect: Any) -> None:
    """A triggerer's environment may lack KINETIC_PROJECT."""
    connect(platform="gke")
    assert target_of_handle(GKE, "k").project == "acme"


def test_a_job_of_upstreams_client_through_the_platform_of_the_connection(connect: Any) -> None:
    connect(platform="gke", project="acme")
    assert target_of_handle(UPSTREAMS, "k").store_root == "gs://acme-kn-trainer-jobs"
    connect(platform="kubernetes", kubernetes_conn_id="k8s")
    assert target_of_handle(UPSTREAMS, "k").kubernetes_conn_id == "k8s"


def test_a_handle_cannot_name_the_server(connect: Any) -> None:
    """What is sent a token is decided by ``kubernetes_conn_id``, which no handle has."""
    connect(platform="kubernetes", kubernetes_conn_id="k8s")
    forged = {**KUBERNETES.to_dict(), "server": "https://evil.example", "endpoint": "https://evil.example"}
    target = target_of_handle(JobHandle.from_dict({**forged, "kubernetes_conn_id": "evil"}), "k")
    assert (target.kubernetes_conn_id, target.endpoint) == ("k8s", "")
    assert "evil" not in repr(target)


@pytest.mark.parametrize(
    "uri", ["kubernetes://other/trainer", "kubernetes://evil.example/trainer", "https://evil.example"]
)
def test_a_handle_of_another_cluster(connect: Any, uri: str) -> None:
    connect(platform="kubernetes", kubernetes_conn_id="k8s")
    with pytest.raises(ConfigurationError, match=r"the connection `k` leads to kubernetes://k8s/trainer") as caught:
        target_of_handle(replace(KUBERNETES, cluster_uri=uri), "k")
    assert uri in caught.value.summary


def test_a_handle_of_another_cluster_by_name(connect: Any) -> None:
    connect(platform="kubernetes", kubernetes_conn_id="k8s", cluster="blue")
    with pytest.raises(ConfigurationError, match="for the cluster 'blue', not for 'trainer'"):
        target_of_handle(UPSTREAMS, "k")


def test_a_handle_of_another_project(connect: Any) -> None:
    """The credentials might be allowed to look at a cluster of the forger's."""
    connect(platform="gke", project="acme")
    with pytest.raises(ConfigurationError, match="for the project 'acme', not for 'evil-project'"):
        target_of_handle(replace(GKE, project="evil-project"), "k")


@pytest.mark.parametrize("cloud", [GKE, KUBERNETES, UPSTREAMS])
def test_a_job_of_a_cluster_through_a_connection_of_this_machine(connect: Any, cloud: JobHandle) -> None:
    connect(platform="local")
    with pytest.raises(ConfigurationError, match="leads to 'local'"):
        target_of_handle(cloud, "k")


def test_a_job_of_another_platform_names_its_connection(connect: Any) -> None:
    connect(platform="kubernetes", kubernetes_conn_id="k8s")
    with pytest.raises(ConfigurationError, match="on the platform 'gke'") as caught:
        target_of_handle(replace(GKE, kinetic_conn_id="kinetic_gke"), "k")
    assert "`kinetic_gke`" in caught.value.advice


def test_a_store_of_another_scheme(connect: Any) -> None:
    connect(platform="gke", project="acme")
    with pytest.raises(ConfigurationError, match="`bucket`"):
        target_of_handle(replace(GKE, store_root="file:///etc"), "k")
