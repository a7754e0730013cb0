"""Links to the Google Cloud console, from a handle alone."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from airflow.sdk import DAG
from installation import Installation, local_connection
from tasks import run

from airflow_provider_kinetic.links import cloud
from airflow_provider_kinetic.links.job import LINKS
from airflow_provider_kinetic.operators.submit import KineticSubmitOperator

GKE: dict[str, Any] = {
    "job_id": "job-1",
    "backend": "gke",
    "platform": "gke",
    "project": "acme",
    "zone": "europe-west4-a",
    "cluster_name": "trainer",
    "namespace": "team",
    "k8s_name": "kinetic-job-1",
    "bucket_name": "jobs",
    "store_root": "gs://jobs",
    "output_dir": "gs://outputs/here/my dag/run+1",
    "created_at": "2026-01-01T00:00:00Z",
}
UPSTREAMS = {name: value for name, value in GKE.items() if name not in ("platform", "store_root", "output_dir")}
KUBERNETES = {**GKE, "platform": "kubernetes", "project": ""}
LOCAL = {**GKE, "platform": "local", "store_root": "file:///data/jobs", "output_dir": "file:///data/outputs"}
ALL = (cloud.job, cloud.logs, cloud.outputs, cloud.artifacts)


def test_the_job() -> None:
    assert cloud.job(GKE) == (
        "https://console.cloud.google.com/kubernetes/job/europe-west4-a/trainer/team/kinetic-job-1/details?project=acme"
    )
    assert cloud.job(UPSTREAMS) == cloud.job(GKE)


def test_a_group_of_hosts_has_no_page_of_its_own() -> None:
    assert cloud.job({**UPSTREAMS, "backend": "pathways"}).endswith("/kubernetes/workload/overview?project=acme")


def test_its_logs_since_its_submission() -> None:
    """With a day to spare: the time of a line is not by the clock of whoever submitted."""
    url = urlsplit(cloud.logs(GKE))
    path, _, query = url.path.partition(";query=")
    assert (path, parse_qs(url.query)) == ("/logs/query", {"project": ["acme"]})
    assert unquote(query).splitlines() == [
        'resource.type="k8s_container"',
        'resource.labels.project_id="acme"',
        'resource.labels.location="europe-west4-a"',
        'resource.labels.cluster_name="trainer"',
        'resource.labels.namespace_name="team"',
        'labels."k8s-pod/job-name"="kinetic-job-1"',
        'timestamp>="2025-12-31T00:00:00+00:00"',
    ]


@pytest.mark.parametrize("told", [None, "", "yesterday", 7, "0001-01-01T00:00:00Z"])
def test_its_logs_where_no_time_is_known(told: Any) -> None:
    assert "timestamp" not in cloud.logs({**GKE, "created_at": told})


def test_its_objects() -> None:
    browser = "https://console.cloud.google.com/storage/browser"
    assert cloud.artifacts(GKE) == f"{browser}/jobs/job-1?project=acme"
    assert cloud.artifacts(UPSTREAMS) == cloud.artifacts(GKE)
    assert cloud.outputs(GKE) == f"{browser}/outputs/here/my%20dag/run%2B1?project=acme"
    assert cloud.outputs(UPSTREAMS) == "", "upstream's handles do not say where outputs are"


def test_any_cluster_has_a_bucket_and_no_console() -> None:
    assert [bool(link(KUBERNETES)) for link in ALL] == [False, False, True, True]
    assert cloud.artifacts(KUBERNETES).endswith("/jobs/job-1")


def test_this_machine_has_none() -> None:
    assert [link(LOCAL) for link in ALL] == [""] * 4


@pytest.mark.parametrize("value", ['"; drop', "../../evil", "a?b#c", "//evil.example", "ü\n", {"a": 1}, None, 7])
@pytest.mark.parametrize("name", [*GKE])
def test_a_forged_handle_leads_nowhere_else(name: str, value: Any) -> None:
    for link in ALL:
        url = link({**GKE, name: value})
        assert url == "" or urlsplit(url).netloc == "console.cloud.google.com"
        assert "\n" not in url
        assert '"' not in url
        assert parse_qs(urlsplit(url).query).keys() <= {"project"}


def double(x: int) -> int:
    return 2 * x


def test_airflow_shows_no_link_to_a_console_that_is_not_there(tmp_path: Any) -> None:
    """An empty address is one that Airflow's API gives as null and its UI leaves out."""
    db = Installation()
    db.connections.update(local_connection(tmp_path))
    with DAG("d", schedule=None) as dag:
        KineticSubmitOperator(
            task_id="t", python_callable=double, op_args=[1], accelerator="cpu", container_image=sys.executable
        )
    key = run(dag.get_task("t"), db).key
    shown = {link.name for link in LINKS if db.xcom(key, link.xcom_key)}
    assert shown == {"Kinetic job", "Job logs", "Outputs"}
