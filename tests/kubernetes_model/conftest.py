from __future__ import annotations

import pytest

from airflow_provider_kinetic.job import bootstrap
from airflow_provider_kinetic.model.manifests import JobManifest

BUCKET = "gs://p-kn-c-jobs/job-0123abcd"


@pytest.fixture(scope="session")
def manifest() -> JobManifest:
    """What a submission on GKE orders, with nothing asked for beyond upstream's own parameters."""
    args = [
        *("--context-gcs", f"{BUCKET}/context.zip", "--payload-gcs", f"{BUCKET}/payload.pkl"),
        *("--result-gcs", f"{BUCKET}/result.pkl", "--payload-sha256", "11", "--context-sha256", "22"),
    ]
    return JobManifest(
        name="kinetic-job-0123abcd",
        namespace="default",
        job_id="job-0123abcd",
        image="any/uri:1",
        command=bootstrap.command(f"{BUCKET}/runner.pyz", "33", args),
        accelerator="cpu",
        env={"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "JOB_ID": "job-0123abcd", "GCS_BUCKET": "p-kn-c-jobs"},
        labels={"app": "kinetic", "job-id": "job-0123abcd"},
        annotations={"airflow-provider-kinetic/dag": "train", "airflow-provider-kinetic/map-index": "-1"},
        service_account="kinetic",
    )
