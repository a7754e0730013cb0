"""The Secret of one job: variables that no listing of Jobs or pods may show (``design`` 3.14).

The Job owns it, so it goes with the Job. The Job has to be there first, because the owner is named by its
uid; its pod waits until the Secret exists.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.model.kubernetes.environment import check_variables
from airflow_provider_kinetic.model.kubernetes.labels import labels_of
from airflow_provider_kinetic.model.manifests import JobManifest


def secret_name(job: str) -> str:
    """Name of the Secret of the Job of that name."""
    return f"{job}-env"


def render_secret(manifest: JobManifest, values: Mapping[str, str], *, job_uid: str) -> dict[str, Any]:
    """The v1 Secret. ``job_uid`` is the uid that the API server gave to the Job.

    :raises ConfigurationError: a value cannot be a variable; the message does not show it.
    """
    check_variables(values, "secrets")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": secret_name(manifest.name),
            "namespace": manifest.namespace,
            "labels": labels_of(manifest),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": manifest.name, "uid": job_uid}],
        },
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
    }
