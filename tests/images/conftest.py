"""Cloud Build, Artifact Registry and Cloud Storage on the loopback, and a connection that leads there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gcs_server import GcsServer
from google_apis_builds import PROJECT, GoogleBuilds

from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder
from airflow_provider_kinetic.hooks import gcs as gcs_hook
from airflow_provider_kinetic.hooks.platforms import open_ports
from airflow_provider_kinetic.model.images import BuildOptions
from airflow_provider_kinetic.model.target import Target

BUCKET = "acme-kn-trainer-jobs"
ACCOUNT = "submit@acme.iam.gserviceaccount.com"
Open = Callable[..., CloudImageBuilder]


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    with GcsServer(BUCKET) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
        gcs_hook.close()
        assert server.unknown == []


@pytest.fixture
def google(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GoogleBuilds]:
    with GoogleBuilds() as server:
        server.storage = gcs
        server.enter(monkeypatch, tmp_path)
        connection = {"conn_type": "google_cloud_platform", "extra": server.connection(ACCOUNT)}
        monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
        yield server


@pytest.fixture
def target() -> Target:
    return Target(
        platform="gke",
        kinetic_conn_id="kinetic_default",
        store_root=f"gs://{BUCKET}",
        output_root=f"gs://{BUCKET}/outputs",
        cluster_uri="gke://acme/europe-west4-a/trainer",
        project=PROJECT,
        zone="europe-west4-a",
        cluster="trainer",
        gcp_conn_id="gcp",
    )


@pytest.fixture
def builder_with(google: GoogleBuilds, target: Target) -> Open:  # noqa: ARG001 (the services)
    """``builder_with(region="europe-west1")``: a builder as a task of the platform ``gke`` gets it."""
    from dataclasses import replace

    def make(**options: Any) -> Any:
        return open_ports(replace(target, build=BuildOptions(**options))).builder

    return make


@pytest.fixture
def builder(builder_with: Open) -> CloudImageBuilder:
    return builder_with()
