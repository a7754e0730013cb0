"""A part of a pod template merged over ours: strategic, and never over what identifies the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.manifests import JobManifest


def overridden(manifest: JobManifest, override: Any) -> dict[str, Any]:
    return render(replace(manifest, accelerator="l4", pod_override=override))["spec"]["template"]


def test_maps_are_merged(manifest: JobManifest) -> None:
    template = overridden(manifest, {"spec": {"nodeSelector": {"disk": "ssd"}, "securityContext": {"runAsUser": 1000}}})
    assert template["spec"]["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4", "disk": "ssd"}
    assert template["spec"]["securityContext"] == {"runAsUser": 1000}


def test_tolerations_are_added_once(manifest: JobManifest) -> None:
    ours = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    theirs = {"key": "team", "operator": "Equal", "value": "vision", "effect": "NoSchedule"}
    template = overridden(manifest, {"spec": {"tolerations": [theirs, ours]}})
    assert template["spec"]["tolerations"] == [ours, theirs]


def test_containers_are_merged_by_name_and_their_variables_too(manifest: JobManifest) -> None:
    worker = {
        "name": "kinetic-worker",
        "env": [{"name": "KERAS_BACKEND", "value": "torch"}, {"name": "NEW", "value": "1"}],
        "resources": {"limits": {"memory": "16Gi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    sidecar = {"name": "proxy", "image": "proxy:1"}
    override = {"spec": {"containers": [sidecar, worker], "volumes": [{"name": "scratch", "emptyDir": {}}]}}
    spec = overridden(manifest, override)["spec"]
    first, second = spec["containers"]
    env = {variable["name"]: variable["value"] for variable in first["env"]}
    assert first["name"] == "kinetic-worker"
    assert env["KERAS_BACKEND"] == "torch"
    assert env["NEW"] == "1"
    assert env["JOB_ID"] == "job-0123abcd"
    assert first["resources"]["limits"] == {"nvidia.com/gpu": "1", "memory": "16Gi"}
    assert first["volumeMounts"] == worker["volumeMounts"]
    assert second == sidecar
    assert spec["volumes"] == [{"name": "scratch", "emptyDir": {}}]


def test_none_removes(manifest: JobManifest) -> None:
    template = overridden(manifest, {"spec": {"serviceAccountName": None, "nodeSelector": None}})
    assert "serviceAccountName" not in template["spec"]
    assert "nodeSelector" not in template["spec"]


def test_labels_and_annotations_are_added(manifest: JobManifest) -> None:
    override = {"metadata": {"labels": {"team": "x"}, "annotations": {"gke-gcsfuse/volumes": "true"}}}
    metadata = overridden(manifest, override)["metadata"]
    assert metadata["labels"]["team"] == "x"
    assert metadata["labels"]["job-name"] == "kinetic-job-0123abcd"
    assert metadata["annotations"]["gke-gcsfuse/volumes"] == "true"


def test_other_lists_and_values_are_replaced(manifest: JobManifest) -> None:
    override = {"spec": {"terminationGracePeriodSeconds": 90, "dnsConfig": {"nameservers": ["10.0.0.1"]}}}
    spec = overridden(manifest, override)["spec"]
    assert spec["terminationGracePeriodSeconds"] == 90
    assert spec["dnsConfig"] == {"nameservers": ["10.0.0.1"]}


def worker(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "kinetic-worker", **fields}]}}


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ({"metadata": {"name": "mine"}}, "metadata.name"),
        ({"metadata": {"namespace": "mine"}}, "metadata.namespace"),
        ({"metadata": {"labels": {"job-id": "job-other"}}}, "job-id"),
        ({"metadata": {"labels": {"app": None}}}, "app"),
        ({"metadata": {"labels": None}}, "labels"),
        ({"metadata": None}, "labels"),
        ({"metadata": {"annotations": {"airflow-provider-kinetic/dag": "x"}}}, "airflow-provider-kinetic/dag"),
        ({"spec": {"restartPolicy": "OnFailure"}}, "restartPolicy"),
        ({"spec": {"containers": None}}, "containers"),
        ({"spec": None}, "restartPolicy"),
        (worker(command=["sh"]), "command"),
        (worker(args=[]), "args"),
        (worker(env=[{"name": "JOB_ID", "value": "job-other"}]), "JOB_ID"),
        (worker(env=None), "env"),
    ],
)
def test_what_identifies_the_job_stays(manifest: JobManifest, override: Any, field: str) -> None:
    with pytest.raises(ConfigurationError, match="`pod_override`") as refused:
        overridden(manifest, override)
    assert field in str(refused.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"containers": []}, "part of a pod template"),
        ({"spec": {"containers": [{"image": "x"}]}}, "no 'name'"),
        ({"spec": {"containers": "x"}}, "must be a list"),
        ({"spec": {"nodeSelector": ["x"]}}, "must be a dict"),
        ({"spec": []}, "must be a dict"),
        ({"metadata": {"labels": "x"}}, "must be a dict"),
        ([], "must be a dict"),
    ],
)
def test_what_is_no_part_of_a_template_is_refused(manifest: JobManifest, override: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        overridden(manifest, override)
