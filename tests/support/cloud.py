"""A Kubernetes cluster and a Cloud Storage on the loopback, with the Airflow connections that lead there.

with Cloud.opened(tmp_path, service_accounts=["trainer"]) as cloud:
    db = Installation(connections=cloud.connections(namespace="team"))

``cloud.enter(monkeypatch)`` makes this process, its tasks and its hooks use it. Pods are processes of this
machine that run this interpreter whatever their image; ``add_image`` names another one, an environment of the local
builder for example.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcs_objects import Bucket
from gcs_server import GcsServer
from kube import Image, KubeServer
from kube.errors import Object
from kube.resources import JOBS, NODES, PODS, Resource

from airflow_provider_kinetic.clusters import clients
from airflow_provider_kinetic.hooks import gcs as gcs_hook
from airflow_provider_kinetic.model import accelerators

if TYPE_CHECKING:
    import pytest


BUCKET = "kinetic-tests"
IMAGE = "registry.example/jobs:1"
"""Has this interpreter and its packages."""
EMULATOR = "STORAGE_EMULATOR_HOST"


def where_to_find(storage: str) -> dict[str, str]:
    """The environment in which Google's client, gcsfs and Orbax speak to this server instead of Google's."""
    return {
        EMULATOR: storage,
        "TENSORSTORE_GCS_HTTP_URL": storage,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x",
        "GOOGLE_CLOUD_PROJECT": "tests",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # else a minute for each bucket
    }


@dataclass(frozen=True)
class Cloud:
    """One cluster, one object store. ``folder`` holds the kubeconfig."""

    kube: KubeServer
    gcs: GcsServer
    folder: Path

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, **options: Any) -> Iterator[Cloud]:
        """``options`` are those of :class:`~kube.server.KubeServer`; its pods find the storage by themselves."""
        with GcsServer(BUCKET) as gcs:
            environment = {**where_to_find(gcs.url), **options.pop("environment", {})}
            with KubeServer(environment=environment, **options) as kube:
                kube.images[IMAGE] = Image(python=sys.executable)
                kube.kubeconfig(folder / "kubeconfig")
                try:
                    yield cls(kube, gcs, folder)
                finally:
                    clients.close()
                    gcs_hook.close()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def connections(self, **extra: Any) -> dict[str, dict[str, Any]]:
        """``kinetic_default`` on this cluster, with these further fields, and the connections that it stands on."""
        settings = {"platform": "kubernetes", "bucket": BUCKET, "kubernetes_conn_id": "kubernetes_default", **extra}
        kubeconfig = {"kube_config_path": str(self.kubeconfig)}
        return {
            "kinetic_default": {"conn_type": "kinetic", "extra": json.dumps(settings)},
            "kubernetes_default": {"conn_type": "kubernetes", "extra": json.dumps(kubeconfig)},
        }

    def enter(self, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> dict[str, dict[str, Any]]:
        """Have this process use it outside of tasks too; returns the connections for an ``Installation``."""
        connections = self.connections(**extra)
        monkeypatch.setenv(EMULATOR, self.gcs.url)
        for name, connection in connections.items():
            fitting = {**connection, "extra": json.loads(connection["extra"])}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fitting))
        return connections

    def add_bucket(self, name: str) -> str:
        self.gcs.buckets[name] = Bucket(name)
        return name

    def add_image(self, name: str, python: Path | str) -> str:
        """An image that stands for the environment of this interpreter."""
        self.kube.images[name] = Image(python=str(python))
        return name

    def add_machine(self, accelerator: str, *, spot: bool = False) -> None:
        """A node that takes pods of this accelerator, on which JAX makes do with the CPU of this machine."""
        wanted = accelerators.parse(accelerator, spot=spot)
        taints = [{key: each[key] for key in ("key", "value", "effect") if key in each} for each in wanted.tolerations]
        name = f"{wanted.canonical}-{len(self.kube.store.list(NODES)[0])}"
        self.kube.add_node(name, labels=wanted.node_selector, taints=taints, allocatable=dict(wanted.resource))
        self.kube.registry.admission.mutators.append(_on_the_cpu)

    def jobs(self, namespace: str = "default") -> list[Object]:
        """The Jobs of a namespace, oldest first."""
        found = self.kube.store.list(JOBS, namespace)[0]
        return sorted(found, key=lambda job: int(job["metadata"]["resourceVersion"]))

    def objects(self, bucket: str = BUCKET, prefix: str = "") -> list[str]:
        """Names of the live objects of a bucket."""
        return [name for name in self.gcs.buckets[bucket].names() if name.startswith(prefix)]

    def heal(self) -> None:
        """No fault waits any more for the next request."""
        self.kube.heal()
        self.gcs.faults.clear()


def _on_the_cpu(resource: Resource, obj: Object) -> None:
    for container in obj["spec"]["containers"] if resource == PODS else ():
        for variable in container.get("env") or []:
            if variable["name"] == "JAX_PLATFORMS":
                variable["value"] = "cpu"
