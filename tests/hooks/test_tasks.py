"""Tasks on GKE as Airflow runs them: worker, triggerer and worker again, each with the connections alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from gcs_server import GcsServer
from google_apis import CLUSTER, PROJECT, ZONE, GoogleApis
from installation import Installation
from kube import Image, KubeServer
from tasks import run

from airflow_provider_kinetic.links.job import LINKS
from airflow_provider_kinetic.operators.run import KineticRunOperator

ACCOUNT = "submit@acme.iam.gserviceaccount.com"
IMAGE = "europe-docker.pkg.dev/acme/jobs/image:1"
BUCKET = "kinetic-tests"


def double(x: int) -> int:
    print(f"doubling {x}")
    return 2 * x


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GoogleApis]:
    """With a cluster whose pods find the storage."""
    monkeypatch.setenv("AIRFLOW__KINETIC__MIN_DWELL", "0")
    with GcsServer(BUCKET) as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        environment = {"STORAGE_EMULATOR_HOST": gcs.url}
        with KubeServer(service_accounts=["kinetic"], environment=environment) as kube, GoogleApis(kube) as apis:
            kube.images[IMAGE] = Image(python=sys.executable)
            apis.enter(monkeypatch, tmp_path)
            yield apis


@pytest.fixture
def db(google: GoogleApis) -> Installation:
    place = {"platform": "gke", "project": PROJECT, "zone": ZONE, "cluster": CLUSTER, "bucket": BUCKET}
    connections = {
        "kinetic_default": ("kinetic", place),
        "google_cloud_default": ("google_cloud_platform", google.connection(ACCOUNT)),
    }
    return Installation(
        connections={
            conn_id: {"conn_type": conn_type, "extra": json.dumps(extra)}
            for conn_id, (conn_type, extra) in connections.items()
        }
    )


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_task_runs_its_function(google: GoogleApis, db: Installation, deferrable: bool) -> None:
    with DAG("d", schedule=None) as dag:
        KineticRunOperator(
            task_id="t",
            python_callable=double,
            op_args=[21],
            accelerator="cpu",
            container_image=IMAGE,
            stop_grace=2,
            poll_interval=0.1,
            deferrable=deferrable,
        )

    result = run(dag.get_task("t"), db)

    assert (result.state, result.value) == ("success", 42), "\n".join(result.log)
    assert bool(result.deferrals) is deferrable
    assert google.lookups == {ACCOUNT: 1}, "worker and triggerer are one process here, with one look-up"
    assert {request.user for request in google.kube.requests if request.resource == "jobs"} == {ACCOUNT}
    handle: dict[str, Any] = result.xcoms["kinetic_job"]
    assert (handle["platform"], handle["backend"], handle["project"]) == ("gke", "gke", PROJECT)
    assert not {"PRIVATE", google.issued[0]} & set(json.dumps(handle).split('"'))
    assert all(db.xcom(result.key, link.xcom_key) for link in LINKS)
