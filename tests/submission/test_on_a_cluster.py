"""A task's parameters reach the Job of a Kubernetes cluster; what could not be honoured costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from cloud import BUCKET
from cloud_shop import CloudShop
from installation import TaskKey

from airflow_provider_kinetic.model.errors import ConfigurationError

SUBMIT = """
def f(): return 42

with DAG({dag!r}, schedule=None) as dag:
    KineticSubmitOperator(**{{**JOB, **dict(task_id="job", python_callable=f), **{options!r}}})
"""


def submitting(shop: CloudShop, dag: str = "shop", **options: Any) -> None:
    """The DAG file of one submitting task."""
    shop.write(SUBMIT.format(dag=dag, options=options))


def submitted(shop: CloudShop, **options: Any) -> dict[str, Any]:
    """The Job that such a task makes."""
    submitting(shop, **options)
    result = shop.run()
    assert result.state == "success", result.error
    (job,) = shop.jobs
    return job


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["template"]["spec"]


def test_what_a_task_asks_for_is_in_its_job(cloud_shop):
    job = submitted(
        cloud_shop,
        accelerator="l4x2:spot",
        labels={"team": "vision", "budget": 7},
        requests={"cpu": 4, "memory": "16Gi", "ephemeral-storage": "100Gi"},
        priority_class="high",
        queue_name="research",
        service_account="trainer",
        env_vars={"XLA_FLAGS": "--fast=$HOME", "MAX_TOKENS": "4096", "API_TOKEN": "s3cret-of-mine"},
        secrets={"DATABASE": "postgres://me:pw@host"},
        secret_env={"HUB": "hub/token"},
        pod_override={"spec": {"hostNetwork": True}},
        startup_timeout=60,
        run_timeout=100,
        stop_grace=7.5,
    )

    pod, labels = pod_of(job), job["metadata"]["labels"]
    (container,) = pod["containers"]
    env = {one["name"]: one.get("value") or one["valueFrom"] for one in container["env"]}
    assert {name: labels[name] for name in ("team", "budget", "kueue.x-k8s.io/queue-name")} == {
        "team": "vision",
        "budget": "7",
        "kueue.x-k8s.io/queue-name": "research",
    }
    assert container["resources"] == {
        "limits": {"nvidia.com/gpu": "2"},
        "requests": {"nvidia.com/gpu": "2", "cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi"},
    }
    assert (pod["priorityClassName"], pod["serviceAccountName"], pod["hostNetwork"]) == ("high", "trainer", True)
    assert (job["spec"]["suspend"], job["spec"]["activeDeadlineSeconds"]) == (True, 760)
    assert pod["terminationGracePeriodSeconds"] == 8
    assert env["XLA_FLAGS"] == "--fast=$$HOME"
    assert env["KINETIC_MASKED"] == "API_TOKEN DATABASE HUB"
    assert env["HUB"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"


def test_the_task_comes_before_its_connection(cloud_shop):
    cloud_shop.connect(service_account="common", queue="slow")

    job = submitted(cloud_shop, service_account="trainer", queue_name="fast")

    assert pod_of(job)["serviceAccountName"] == "trainer"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "fast"


def test_the_connection_holds_where_the_task_says_nothing(cloud_shop):
    cloud_shop.connect(service_account="common", queue="slow")

    job = submitted(cloud_shop)

    assert pod_of(job)["serviceAccountName"] == "common"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "slow"


def test_parameters_are_templated(cloud_shop):
    job = submitted(
        cloud_shop,
        labels={"dag": "{{ dag.dag_id }}"},
        requests={"memory": "{{ 2 * 8 }}Gi"},
        service_account="{{ 'train' }}er",
        pod_override={"spec": {"hostname": "{{ task.task_id }}"}},
    )

    assert job["metadata"]["labels"]["dag"] == "shop"
    assert pod_of(job)["containers"][0]["resources"]["requests"] == {"memory": "16Gi"}
    assert (pod_of(job)["serviceAccountName"], pod_of(job)["hostname"]) == ("trainer", "job")


def test_a_job_says_which_try_made_it_and_belongs_to_all_of_them(cloud_shop):
    submitting(cloud_shop, queue_name="nobody-admits-it", retries=1)
    first = cloud_shop.run()
    cloud_shop.db.retry(first.key)

    second = cloud_shop.run()

    (job,) = cloud_shop.jobs
    assert second.value == first.value
    assert job["metadata"]["annotations"]["airflow-provider-kinetic/try"] == "1"
    assert job["metadata"]["labels"]["airflow-provider-kinetic/try"] == "1"


@pytest.mark.parametrize("name", ["x" * 250, "тренировка." * 20, "a_b.c-d" * 30], ids=["long", "unicode", "dots"])
def test_any_name_of_a_dag_and_a_run(cloud_shop, name):
    run_id = f"manual__2026-01-01T00:00:00+00:00_{name}"[:250]
    submitting(cloud_shop, dag=name)

    result = cloud_shop.run(run_id=run_id)

    assert result.state == "success", result.error
    (job,) = cloud_shop.jobs
    said = job["metadata"]["annotations"]
    assert said["airflow-provider-kinetic/dag"] == name
    assert said["airflow-provider-kinetic/run"] == run_id
    assert all(len(value) <= 63 for value in job["metadata"]["labels"].values())
    assert result.key == TaskKey(name, "job", run_id)


TOO_LARGE = {f"V{number}": "x" * 100_000 for number in range(50)}
REFUSED = [
    ({"env_vars": TOO_LARGE}, "`env_vars` has 5,"),
    ({"env_vars": {"LONG": "x" * 200_000}}, "`env_vars`: the variable 'LONG'"),
    ({"env_vars": {"A=B": "x"}}, "`env_vars`: the variable 'A=B'"),
    ({"secrets": TOO_LARGE}, "`secrets` has 5,"),
    ({"secrets": {"HUB": "x\0y"}}, "`secrets`: the variable 'HUB'"),
    ({"labels": {"team": "my team"}}, "`labels`: 'my team'"),
    ({"labels": {"job-id": "mine"}}, "`labels` sets 'job-id'"),
    ({"labels": {"airflow-provider-kinetic/dag": "other"}}, "which identifies the job"),
    ({"requests": {"nvidia.com/gpu": "1"}}, "`requests` has 'nvidia.com/gpu'"),
    ({"requests": {"memory": "16GB"}}, "`requests`: '16GB'"),
    ({"requests": "16Gi"}, "`requests` is '16Gi'; it must be a dict"),
    ({"queue_name": "My Queue"}, "`queue_name` is 'My Queue'"),
    ({"service_account": "me@project.iam"}, "`service_account` is"),
    ({"secret_env": {"HUB": "token"}}, "`secret_env`: 'token'"),
    ({"secret_env": {"JOB_ID": "hub/token"}}, "is set by Kinetic"),
    ({"secret_env": {"HUB": "hub/token"}, "env_vars": {"HUB": "x"}}, "is in `env_vars` too"),
    ({"pod_override": {"spec": {"restartPolicy": "Always"}}}, "`pod_override` changes spec.restartPolicy"),
    ({"pod_override": {"spec": {"containers": [{"name": "kinetic-worker", "command": ["x"]}]}}}, "kinetic-worker"),
    ({"pod_override": {"metadata": {"labels": {"job-name": "x"}}}}, "which identifies the job"),
    ({"pod_override": {"containers": []}}, "`pod_override` has 'containers'"),
    ({"accelerator": "v5litepod-16"}, "4 hosts"),
    ({"backend": "pathways"}, "group of hosts"),
    ({"accelerator": "l5"}, "l5"),
    ({"container_image": None}, "`container_image`"),
    ({"container_image": "prebuilt"}, "`container_image`"),
    ({"volumes": {"/data": "gs://b"}}, "`volumes`"),
    ({"output_dir": "/home/me"}, "`output_dir`"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_bad_input_is_found_before_anything_is_sent(cloud_shop, options, message):
    submitting(cloud_shop, **options)

    error = cloud_shop.run().error

    assert isinstance(error, ConfigurationError), error
    assert message in str(error)
    assert error.advice or "must be" in error.summary
    assert cloud_shop.cloud.gcs.buckets[BUCKET].names() == []
    assert cloud_shop.jobs == []


def test_outputs_of_two_installations_in_one_bucket_lie_apart(cloud_shop, monkeypatch):
    submitting(cloud_shop)
    found = []
    for installation in ("first", "second"):
        monkeypatch.setenv("AIRFLOW__KINETIC__INSTALLATION_ID", installation)
        found.append(cloud_shop.run(run_id=f"run_{installation}").xcoms["output_dir"])

    root = f"gs://{BUCKET}/outputs"
    assert found == [f"{root}/first/shop/job/run_first", f"{root}/second/shop/job/run_second"]
