"""The strict API server of the tests takes what is rendered, whatever was asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kube import defaults, validation
from kube.resources import JOBS, SECRETS

from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.kubernetes.secret import render_secret
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.mounts import FuseMount

EVERYTHING = {
    "active_deadline": 3600.5,
    "priority_class": "high",
    "queue": "research",
    "requests": {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi"},
    "secret_env": {"TOKEN": "hub/token"},
    "annotations": {f"airflow-provider-kinetic/{name}": "名 " * 80 for name in ("dag", "task", "run", "installation")},
    "pod_override": {"spec": {"tolerations": [{"key": "team", "operator": "Exists"}]}},
    "fuse_mounts": (FuseMount("/data", "gs://bucket/a,b/"), FuseMount("/models", "gs://other")),
    "debug": True,
}


@pytest.mark.parametrize("accelerator", ["cpu", "l4x2", "v5litepod-8:spot"])
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_the_server_takes_the_job_and_its_secret(manifest: JobManifest, accelerator: str, options: Any) -> None:
    ordered = replace(manifest, accelerator=accelerator, **options)
    job = render(ordered, has_secrets=True)
    defaults.apply(JOBS, job)
    assert validation.problems(JOBS, job) == []
    secret = render_secret(ordered, {"PASSWORD": "x" * 100_000}, job_uid="6c1a")
    assert validation.problems(SECRETS, secret) == []
