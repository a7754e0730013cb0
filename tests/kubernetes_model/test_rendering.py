"""A manifest as a Job: every row of contract 2.1 and 2.2, every variant of 3.3, and what our own fields add."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kinetic.job import bootstrap
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.job import default_service_account, render
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.mounts import FuseMount

GPU_ROWS = """
l4 nvidia-l4 1 2 4 8
t4 nvidia-tesla-t4 1 2 4
v100 nvidia-tesla-v100 1 2 4 8
a100 nvidia-tesla-a100 1 2 4 8 16
a100-80gb nvidia-a100-80gb 1 2 4 8 16
h100 nvidia-h100-80gb 1 2 4 8
p4 nvidia-tesla-p4 1 2 4
p100 nvidia-tesla-p100 1 2 4
"""
TPU_ROWS = """
v3-4 tpu-v3-podslice 2x2 4
v3-16 tpu-v3-podslice 4x4 4
v3-32 tpu-v3-podslice 4x8 4
v3-64 tpu-v3-podslice 8x8 4
v3-128 tpu-v3-podslice 8x16 4
v3-256 tpu-v3-podslice 16x16 4
v3-512 tpu-v3-podslice 16x32 4
v3-1024 tpu-v3-podslice 32x32 4
v3-2048 tpu-v3-podslice 32x64 4
v4-4 tpu-v4-podslice 2x2x1 4
v4-8 tpu-v4-podslice 2x2x2 4
v4-16 tpu-v4-podslice 2x2x4 4
v4-32 tpu-v4-podslice 2x4x4 4
v4-64 tpu-v4-podslice 4x4x4 4
v4-128 tpu-v4-podslice 4x4x8 4
v4-256 tpu-v4-podslice 4x8x8 4
v4-512 tpu-v4-podslice 8x8x8 4
v4-1024 tpu-v4-podslice 8x8x16 4
v4-2048 tpu-v4-podslice 8x16x16 4
v4-4096 tpu-v4-podslice 16x16x16 4
v5litepod-1 tpu-v5-lite-podslice 1x1 1
v5litepod-4 tpu-v5-lite-podslice 2x2 4
v5litepod-8 tpu-v5-lite-podslice 2x4 8
v5litepod-16 tpu-v5-lite-podslice 4x4 4
v5litepod-32 tpu-v5-lite-podslice 4x8 4
v5litepod-64 tpu-v5-lite-podslice 8x8 4
v5litepod-128 tpu-v5-lite-podslice 8x16 4
v5litepod-256 tpu-v5-lite-podslice 16x16 4
v5p-8 tpu-v5p-slice 2x2x2 4
v5p-16 tpu-v5p-slice 2x2x4 4
v5p-32 tpu-v5p-slice 2x4x4 4
v6e-8 tpu-v6e-slice 2x4 4
v6e-16 tpu-v6e-slice 4x4 4
"""
SPOT = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}


def gpu_rows() -> list[tuple[str, str, str]]:
    rows = (line.split() for line in GPU_ROWS.split("\n") if line)
    return [(f"{name}x{count}", label, count) for name, label, *counts in rows for count in counts]


def tpu_rows() -> list[tuple[str, ...]]:
    return [tuple(line.split()) for line in TPU_ROWS.split("\n") if line]


def pod_of(manifest: JobManifest) -> dict[str, Any]:
    return render(manifest)["spec"]["template"]["spec"]


def asked(manifest: JobManifest, **changes: Any) -> dict[str, Any]:
    """What the pod asks a cluster for."""
    env = {name: value for name, value in manifest.env.items() if name != "JAX_PLATFORMS"}
    pod = pod_of(replace(manifest, env=env, **changes))
    (container,) = pod["containers"]
    platforms = [variable["value"] for variable in container["env"] if variable["name"] == "JAX_PLATFORMS"]
    return {
        "nodeSelector": pod.get("nodeSelector"),
        "tolerations": pod.get("tolerations"),
        "resources": container["resources"],
        "JAX_PLATFORMS": platforms,
    }


@pytest.mark.parametrize(("accelerator", "label", "count"), gpu_rows())
@pytest.mark.parametrize("spot", [False, True], ids=["on demand", "spot"])
def test_gpus(manifest: JobManifest, accelerator: str, label: str, count: str, spot: bool) -> None:
    selector = {"cloud.google.com/gke-accelerator": label}
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert asked(manifest, accelerator=accelerator, spot=spot) == {
        "nodeSelector": {**selector, "cloud.google.com/gke-spot": "true"} if spot else selector,
        "tolerations": [*tolerations, SPOT] if spot else tolerations,
        "resources": {"limits": {"nvidia.com/gpu": count}, "requests": {"nvidia.com/gpu": count}},
        "JAX_PLATFORMS": ["gpu"],
    }


@pytest.mark.parametrize(("accelerator", "label", "topology", "chips"), tpu_rows())
def test_tpus(manifest: JobManifest, accelerator: str, label: str, topology: str, chips: str) -> None:
    """Slices of several hosts as upstream renders them with ``backend="gke"``: one pod with one host's chips."""
    assert asked(manifest, accelerator=accelerator) == {
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": label,
            "cloud.google.com/gke-tpu-topology": topology,
        },
        "tolerations": [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}],
        "resources": {"limits": {"google.com/tpu": chips}, "requests": {"google.com/tpu": chips}},
        "JAX_PLATFORMS": ["tpu"],
    }


@pytest.mark.parametrize("word", ["cpu", "cpu:8", "cpu:spot"])
def test_a_cpu_asks_for_nothing(manifest: JobManifest, word: str) -> None:
    assert asked(manifest, accelerator=word, spot=True) == {
        "nodeSelector": None,
        "tolerations": None,
        "resources": {"limits": {}, "requests": {}},
        "JAX_PLATFORMS": ["cpu"],
    }


def test_prebuilt_images_get_their_requirements_among_the_arguments(manifest: JobManifest) -> None:
    flags = ["--context-gcs", "a", "--requirements-gcs", "gs://b/j/requirements.txt", "--payload-sha256", "1"]
    (container,) = pod_of(replace(manifest, command=bootstrap.command("gs://b/r", "2", flags)))["containers"]
    assert container["args"] == flags
    assert container["command"] == ["python3", "-u", "-c", bootstrap.SOURCE.replace("$", "$$"), "gs://b/r", "2"]


def test_debug_adds_its_variables_and_its_port(manifest: JobManifest) -> None:
    (container,) = pod_of(replace(manifest, debug=True))["containers"]
    assert container["env"][4:] == [
        {"name": "KINETIC_DEBUG", "value": "1"},
        {"name": "PYTHONBREAKPOINT", "value": "debugpy.breakpoint"},
        {"name": "KINETIC_DEBUG_WAIT_TIMEOUT", "value": "600"},
        {"name": "KINETIC_DEBUG_PORT", "value": "5678"},
    ]
    assert container["ports"] == [{"containerPort": 5678, "name": "debugpy"}]


def test_what_is_final_fails_the_job_before_a_disruption_is_ignored(manifest: JobManifest) -> None:
    assert render(manifest)["spec"]["podFailurePolicy"] == {
        "rules": [
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": "kinetic-worker", "operator": "In", "values": [117, 118]},
            },
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def test_times_are_whole_seconds_rounded_up(manifest: JobManifest) -> None:
    job = render(replace(manifest, stop_grace=29.2, active_deadline=100.5))
    assert job["spec"]["activeDeadlineSeconds"] == 101
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert job["spec"]["ttlSecondsAfterFinished"] == 604800


def test_no_grace_is_none_and_not_the_default_of_kubernetes(manifest: JobManifest) -> None:
    assert pod_of(replace(manifest, stop_grace=0))["terminationGracePeriodSeconds"] == 0


def test_a_queue_gets_the_job_suspended(manifest: JobManifest) -> None:
    job = render(replace(manifest, queue="research"))
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]


def test_requests_come_beside_the_accelerator(manifest: JobManifest) -> None:
    changed = replace(manifest, accelerator="l4", requests={"cpu": "4", "memory": "16Gi", "ephemeral-storage": "1Ti"})
    assert pod_of(changed)["containers"][0]["resources"] == {
        "limits": {"nvidia.com/gpu": "1"},
        "requests": {"nvidia.com/gpu": "1", "cpu": "4", "memory": "16Gi", "ephemeral-storage": "1Ti"},
    }


def test_other_requests_are_refused(manifest: JobManifest) -> None:
    with pytest.raises(ConfigurationError, match="`accelerator`"):
        render(replace(manifest, requests={"nvidia.com/gpu": "2"}))


@pytest.mark.parametrize("quantity", ["4", "0.5", "500m", "16Gi", "1e3", "2E", 4, 0.5])
def test_quantities_are_those_of_kubernetes(manifest: JobManifest, quantity: Any) -> None:
    resources = pod_of(replace(manifest, requests={"memory": quantity}))["containers"][0]["resources"]
    assert resources["requests"] == {"memory": str(quantity)}


@pytest.mark.parametrize("quantity", ["", "four", "-1", "16 Gi", "16GiB", "1e", "٣", True, None, ["4"]])
def test_other_quantities_are_refused(manifest: JobManifest, quantity: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`requests`.*memory") as told:
        render(replace(manifest, requests={"memory": quantity}))
    assert "16Gi" in told.value.advice


@pytest.mark.parametrize(
    ("field", "parameter"),
    [("service_account", "service_account"), ("priority_class", "priority_class"), ("queue", "queue_name")],
)
@pytest.mark.parametrize("name", ["My Queue", "a_b", "-a", "a.", "x" * 300, "名"])
def test_names_that_no_cluster_has_are_refused(manifest: JobManifest, field: str, parameter: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{parameter}`"):
        render(replace(manifest, **{field: name}))


@pytest.mark.parametrize(("platform", "account"), [("gke", "kinetic"), ("kubernetes", None), ("local", None)])
def test_only_gke_has_a_service_account_by_default(platform: Any, account: str | None) -> None:
    assert default_service_account(platform) == account


def test_without_a_service_account_the_namespaces_own_is_used(manifest: JobManifest) -> None:
    assert "serviceAccountName" not in pod_of(replace(manifest, service_account=None))


def test_a_manifest_survives_the_store(manifest: JobManifest) -> None:
    mounts = (FuseMount("/data", "gs://b/data"), FuseMount("/one", "gs://b/a/one.csv", is_dir=False))
    override = {"spec": {"hostNetwork": True}}
    full = replace(manifest, queue="q", requests={"cpu": "1"}, pod_override=override, fuse_mounts=mounts)
    assert JobManifest.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_rendering_twice_gives_the_same_and_changes_nothing(manifest: JobManifest) -> None:
    override = {"spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "kinetic-worker", "env": []}]}}
    changed = replace(manifest, accelerator="l4", pod_override=override)
    before = json.dumps(changed.to_dict())
    assert render(changed) == render(changed)
    assert json.dumps(changed.to_dict()) == before
