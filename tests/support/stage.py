"""Where an end-to-end test plays: the loopback cloud, or the real cluster that the command line names.

Nothing of the loopback servers is used beyond their addresses, so a test on a stage says the same of both.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cloud import BUCKET, EMULATOR, IMAGE, Cloud
from installation import Installation
from kube import Image
from kubernetes import client, config
from shop import Shop
from workers import NO_WAITING

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.ports import Ports

NO_IMAGE = "registry.invalid/none:1"


@dataclass(frozen=True)
class Place:
    """``storage`` is reached from here and from pods alike."""

    kubeconfig: Path
    storage: str
    image: str
    patience: float
    """Seconds within which a pod starts, or ends."""

    @classmethod
    @contextmanager
    def chosen(cls, request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
        real = os.environ.get("KUBECONFIG", "") if "cluster" in request.config.option.markexpr else ""
        if not real:
            with Cloud.opened(folder) as cloud:
                cloud.kube.images[NO_IMAGE] = Image(pull_error="not found")
                yield cls(cloud.kubeconfig, cloud.gcs.url, IMAGE, 60)
            return
        storage = request.config.getoption("--gcs-endpoint").rstrip("/")
        if not storage:
            pytest.skip("needs --gcs-endpoint: a Cloud Storage that the cluster's pods reach")
        made = httpx.post(f"{storage}/storage/v1/b", params={"project": "tests"}, json={"name": BUCKET})
        assert made.status_code in (httpx.codes.OK, httpx.codes.CONFLICT), made.text
        yield cls(Path(real), storage, request.config.getoption("--job-image"), 300)


@dataclass
class Stage(Shop):
    """A DAG file of Kinetic tasks, and a namespace of its own for their jobs."""

    place: Place
    namespace: str
    core: client.CoreV1Api
    batch: client.BatchV1Api

    @classmethod
    @contextmanager
    def set(cls, place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
        for name, value in NO_WAITING.items():
            monkeypatch.setenv(name, value)
        with config.new_client_from_config(str(place.kubeconfig)) as api:
            core, namespace = client.CoreV1Api(api), f"kinetic-test-{uuid.uuid4().hex[:8]}"
            core.create_namespace({"metadata": {"name": namespace}})
            stage = cls(folder, Installation(), monkeypatch, place, namespace, core, client.BatchV1Api(api))
            stage.image = place.image
            stage.connect()
            stage.dag_file.parent.mkdir()
            try:
                yield stage
            finally:
                core.delete_namespace(namespace)

    def connect(self) -> None:  # type: ignore[override]
        kinetic = {"platform": "kubernetes", "bucket": BUCKET, "namespace": self.namespace}
        extras = {"kinetic": kinetic, "kubernetes": {"kube_config_path": str(self.place.kubeconfig)}}
        self.monkeypatch.setenv(EMULATOR, self.place.storage)
        for kind, extra in extras.items():
            connection = {"conn_type": kind, "extra": extra}
            self.db.connections[f"{kind}_default"] = {**connection, "extra": json.dumps(extra)}
            self.monkeypatch.setenv(f"AIRFLOW_CONN_{kind.upper()}_DEFAULT", json.dumps(connection))

    def job(self, function: str, **options: object) -> object:
        """With the address of the storage for the pod."""
        return super().job(function, env_vars={EMULATOR: self.place.storage}, **options)

    @property
    def ports(self) -> Ports:
        return KineticHook().ports

    def phases(self) -> list[str]:
        return [str(pod.status.phase) for pod in self.core.list_namespaced_pod(self.namespace).items]
