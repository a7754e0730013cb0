"""Whose triggers are measured: what each is given, how it finds the server, and how its log and events read.

Peers run at the poll interval of their operators (10 s), not at the shorter default of the GKE trigger class.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.api_server import Place
from support.cluster_objects import NAMESPACE, handle

POLL = 10.0


@dataclass(frozen=True)
class Contender:
    """``looked``: part of a line that every trigger logs when it has seen its job for the first time."""

    title: str
    classpath: str
    arguments: Callable[[int, Place], dict[str, Any]]
    looked: bytes
    succeeded: Callable[[dict[str, Any]], bool]


def _ours(index: int, _: Place) -> dict[str, Any]:
    """What the operator passes, with no output shown."""
    return {"job": handle(index).to_dict(), "kinetic_conn_id": "kinetic_default", "log_requests_per_second": 0.0}


def _peers(index: int) -> dict[str, Any]:
    name = handle(index).k8s_name
    return {
        "job_name": name,
        "job_namespace": NAMESPACE,
        "pod_names": [f"{name}-x7k2p"],
        "pod_namespace": NAMESPACE,
        "base_container_name": "kinetic-worker",
        "poll_interval": POLL,
    }


def _kubernetes(index: int, _: Place) -> dict[str, Any]:
    return {**_peers(index), "kubernetes_conn_id": "kubernetes_default"}


def _gke(index: int, place: Place) -> dict[str, Any]:
    authority = base64.b64encode(place.authority.encode()).decode()
    return {**_peers(index), "cluster_url": place.url, "ssl_ca_cert": authority}


OURS = Contender(
    "KineticJobTrigger",
    "airflow_provider_kinetic.triggers.job.KineticJobTrigger",
    _ours,
    b": running",
    lambda payload: bool(payload["status"]["state"] == "SUCCEEDED"),
)
KUBERNETES = Contender(
    "KubernetesJobTrigger",
    "airflow.providers.cncf.kubernetes.triggers.job.KubernetesJobTrigger",
    _kubernetes,
    b" is incomplete. Sleeping",
    lambda payload: bool(payload["status"] == "success"),
)
GKE = Contender(
    "GKEJobTrigger",
    "airflow.providers.google.cloud.triggers.kubernetes_engine.GKEJobTrigger",
    _gke,
    b" is incomplete. Sleeping",
    lambda payload: bool(payload["status"] == "success"),
)
SLEEPING = Contender(
    "a trigger that sleeps",
    "support.sleeping.SleepingTrigger",
    lambda index, _: {"name": handle(index).job_id},
    b" sleeps",
    lambda _: True,
)
ALL = {contender.title: contender for contender in (OURS, KUBERNETES, GKE, SLEEPING)}


def environment(place: Place, folder: Path) -> dict[str, str]:
    """Connections without a database, for all contenders."""
    kubeconfig, key = folder / "kubeconfig", folder / "service_account.json"
    kubeconfig.write_text(json.dumps(_kubeconfig(place)))
    key.write_text(json.dumps(_service_account(place)))
    connections = {
        "KINETIC_DEFAULT": (
            "kinetic",
            {"platform": "kubernetes", "bucket": "kinetic-jobs", "kubernetes_conn_id": "kubernetes_default"},
        ),
        "KUBERNETES_DEFAULT": ("kubernetes", {"kube_config_path": str(kubeconfig), "namespace": NAMESPACE}),
        "GOOGLE_CLOUD_DEFAULT": ("google_cloud_platform", {"key_path": str(key), "project": "example"}),
    }
    return {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        **{
            f"AIRFLOW_CONN_{name}": json.dumps({"conn_type": kind, "extra": extra})
            for name, (kind, extra) in connections.items()
        },
    }


def _kubeconfig(place: Place) -> dict[str, Any]:
    cluster = {"server": place.url, "certificate-authority-data": base64.b64encode(place.authority.encode()).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "loopback",
        "clusters": [{"name": "loopback", "cluster": cluster}],
        "contexts": [{"name": "loopback", "context": {"cluster": "loopback", "user": "u", "namespace": NAMESPACE}}],
        "users": [{"name": "u", "user": {"token": "t" * 200}}],
    }


def _service_account(place: Place) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return {
        "type": "service_account",
        "project_id": "example",
        "client_email": "triggerer@example.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "token_uri": place.token_uri,
    }
