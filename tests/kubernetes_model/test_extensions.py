"""Our Job against upstream's, field by field: what differs is declared in docs/kubernetes.md, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.manifests import JobManifest

BUCKET = "gs://p-kn-c-jobs/job-0123abcd"
DOCUMENT = Path(__file__).parents[2] / "docs" / "kubernetes.md"

UPSTREAMS = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {
        "name": "kinetic-job-0123abcd",
        "namespace": "default",
        "labels": {"app": "kinetic", "job-id": "job-0123abcd"},
    },
    "spec": {
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": 600,
        "template": {
            "metadata": {
                "labels": {"app": "kinetic", "job-id": "job-0123abcd", "job-name": "kinetic-job-0123abcd"},
            },
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": "kinetic",
                "nodeSelector": {
                    "cloud.google.com/gke-accelerator": "nvidia-tesla-a100",
                    "cloud.google.com/gke-spot": "true",
                },
                "tolerations": [
                    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                    {"key": "cloud.google.com/gke-spot", "operator": "Equal", "effect": "NoSchedule"},
                ],
                "containers": [
                    {
                        "name": "kinetic-worker",
                        "image": "any/uri:1",
                        "command": ["python3", "-u", "/app/remote_runner.py"],
                        "args": [
                            "--context-gcs",
                            f"{BUCKET}/context.zip",
                            "--payload-gcs",
                            f"{BUCKET}/payload.pkl",
                            "--result-gcs",
                            f"{BUCKET}/result.pkl",
                            "--payload-sha256",
                            "11",
                            "--context-sha256",
                            "22",
                        ],
                        "env": [
                            {"name": "KERAS_BACKEND", "value": "jax"},
                            {"name": "JAX_PLATFORMS", "value": "gpu"},
                            {"name": "JOB_ID", "value": "job-0123abcd"},
                            {"name": "GCS_BUCKET", "value": "p-kn-c-jobs"},
                        ],
                        "resources": {"limits": {"nvidia.com/gpu": "4"}, "requests": {"nvidia.com/gpu": "4"}},
                    }
                ],
            },
        },
    },
}


def everything(manifest: JobManifest) -> dict[str, Any]:
    """The Job of a manifest that uses every field."""
    full = replace(
        manifest,
        accelerator="a100x4",
        spot=True,
        env={**manifest.env, "JAX_PLATFORMS": "gpu", "LEARNING_RATE": "0.1"},
        labels={**manifest.labels, "team": "vision"},
        active_deadline=3600,
        priority_class="high",
        queue="research",
        requests={"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi"},
        secret_env={"TOKEN": "hub/token"},
    )
    return render(full, has_secrets=True)


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Paths at which two objects differ; items of lists are compared by ``name`` or ``key`` where they have one."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in {**theirs, **ours}:
            written = f"{path}.{key}".lstrip(".") if "/" not in key else f"{path}[{key}]"
            if key in theirs and key in ours:
                yield from differences(theirs[key], ours[key], written)
            else:
                yield written
    elif _keyed(theirs) and _keyed(ours):
        yield from differences(_keyed(theirs), _keyed(ours), f"{path}[]")
    elif theirs != ours:
        yield path


def _keyed(items: Any) -> dict[str, Any]:
    if not isinstance(items, list):
        return {}
    keys = [item.get("name", item.get("key")) for item in items if isinstance(item, dict)]
    return dict(zip(keys, items, strict=True)) if keys and all(keys) else {}


def declared() -> set[str]:
    """Fields in the first column of the table of extensions."""
    section = DOCUMENT.read_text().partition("## Declared extensions")[2].partition("\n## ")[0]
    return {field for row in re.findall(r"(?m)^\| (`.*?) \|", section) for field in re.findall("`([^`]+)`", row)}


def test_the_job_differs_from_upstreams_exactly_where_the_documentation_says(manifest: JobManifest) -> None:
    assert set(differences(UPSTREAMS, everything(manifest))) == declared()


def test_nothing_of_upstreams_is_left_out(manifest: JobManifest) -> None:
    def missing(theirs: Any, ours: Any) -> list[str]:
        return [
            key
            for key, value in theirs.items()
            if key not in ours or (isinstance(value, dict) and missing(value, ours[key]))
        ]

    assert missing(UPSTREAMS, everything(manifest)) == []


def test_without_our_own_parameters_little_differs(manifest: JobManifest) -> None:
    plain = replace(manifest, accelerator="a100x4", spot=True, env={**manifest.env, "JAX_PLATFORMS": "gpu"})
    assert set(differences(UPSTREAMS, render(plain))) == {
        "metadata.annotations",
        "metadata.labels[airflow-provider-kinetic/dag]",
        "spec.ttlSecondsAfterFinished",
        "spec.podFailurePolicy",
        "spec.template.metadata.annotations",
        "spec.template.metadata.labels[airflow-provider-kinetic/dag]",
        "spec.template.spec.terminationGracePeriodSeconds",
        "spec.template.spec.tolerations[][cloud.google.com/gke-spot].value",
        "spec.template.spec.containers[].kinetic-worker.command",
    }
