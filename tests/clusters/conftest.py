"""Clusters with small scripts to run on them: real processes, nothing in their place."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kube import Image, KubeServer
from real_cluster import PATIENCE, RealCluster

from airflow_provider_kinetic.clusters import clients
from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.clusters.base import Cluster
from airflow_provider_kinetic.clusters.kubernetes import KubernetesCluster
from airflow_provider_kinetic.clusters.local import LocalCluster
from airflow_provider_kinetic.hooks.kubeconfig import Kubeconfig
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.status import JobState, JobStatus


def until(condition: Callable[[], Any], what: str, timeout: float = 15.0) -> Any:
    """The first true value of ``condition``."""
    give_up = time.monotonic() + timeout
    while time.monotonic() < give_up:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {timeout} s")


@dataclass
class Bench:
    """A cluster and the jobs that a test has put on it."""

    cluster: Cluster
    image: str
    namespace: str = "default"
    backend: str = "local"
    patience: float = 15.0
    """Seconds in which everything that is waited for happens."""
    startup: float = 1.0
    """Seconds in which a process has surely started."""
    tick: float = 0.0
    """Resolution in seconds of the cluster's times."""
    until: Callable[..., Any] = until
    handles: list[JobHandle] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def manifest(self, code: str, *, name: str | None = None, **given: Any) -> JobManifest:
        number = next(self.numbers)
        return JobManifest(
            **{
                "name": name or f"kinetic-job-{number}",
                "namespace": self.namespace,
                "job_id": f"job-{number}",
                "image": self.image,
                "command": ("python3", "-c", code),
                "accelerator": "cpu",
                "stop_grace": 5.0,
                **given,
            }
        )

    def handle(self, manifest: JobManifest) -> JobHandle:
        handle = JobHandle(
            job_id=manifest.job_id,
            backend=self.backend,
            project="p",
            cluster_name="c",
            zone="z",
            namespace=manifest.namespace,
            bucket_name="b",
            k8s_name=manifest.name,
            image_uri=manifest.image,
            accelerator=manifest.accelerator,
            func_name="f",
            display_name="f",
            created_at="2026-01-01T00:00:00Z",
        )
        self.handles.append(handle)
        return handle

    def start(self, code: str, *, secrets: Mapping[str, str] | None = None, **given: Any) -> JobHandle:
        manifest = self.manifest(code, **given)
        handle = self.handle(manifest)
        self.cluster.create(manifest, secrets=secrets)
        return handle

    def wait(self, handle: JobHandle, state: JobState, timeout: float | None = None) -> JobStatus:
        """The status once it is ``state``; another terminal one is an error at once."""

        def reached() -> JobStatus | None:
            status = self.cluster.status(handle)
            assert status.state is state or not status.state.terminal, status
            return status if status.state is state else None

        return until(reached, f"{handle.k8s_name} {state.value}", timeout or self.patience)

    def says(self, handle: JobHandle, text: str) -> str:
        """The output of the newest attempt, once ``text`` is in it."""
        output = lambda: (out := self.cluster.tail(handle)) and text in out and out  # noqa: E731
        return until(output, f"{text!r} in the output", self.patience)

    def ready(self, handle: JobHandle) -> None:
        """It has said so, and the cluster, which hears of a process after it began, that it runs."""
        self.says(handle, "ready")
        self.wait(handle, JobState.RUNNING)

    def gone(self, handle: JobHandle) -> None:
        found = lambda: self.cluster.status(handle).state is JobState.NOT_FOUND  # noqa: E731
        until(found, f"{handle.k8s_name} gone", self.patience)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cluster"


@pytest.fixture
def local_bench(root: Path) -> Iterator[Bench]:
    """This machine as a cluster."""
    bench = Bench(LocalCluster(root), Path(sys.executable).as_uri())
    yield bench
    for folder in root.glob("[!.]*/*"):  # whatever a test left running ends here
        with suppress(OSError, ValueError, KeyError):
            (folder / "stop").touch()
            os.kill(json.loads((folder / "node.json").read_text())["pid"], signal.SIGUSR1)
    for handle in bench.handles:
        with suppress(Exception):
            LocalCluster(root).delete(handle, wait=10)


@pytest.fixture
def bench(local_bench: Bench) -> Bench:
    return local_bench


@pytest.fixture
def server() -> Iterator[KubeServer]:
    with KubeServer() as started:
        started.images["idle"] = Image(idle=True)
        yield started


Connect = Callable[..., KubernetesCluster]


@pytest.fixture
def connect(server: KubeServer) -> Iterator[Connect]:
    """A cluster as a token sees it, by default the administrator's."""

    def connected(
        token: str = "", namespace: str = "default", *, patience: float = 10.0, **more: Any
    ) -> KubernetesCluster:
        given = token or server.admin
        tokens = TokenSource(lambda: Token(given))
        access = Access(server.url, f"holder of {given[:6]}", server.authority.decode(), tokens=tokens)
        return KubernetesCluster(access, namespace, patience=patience, **more)

    yield connected
    clients.close()


@pytest.fixture
def kube(connect: Connect) -> Bench:
    """The loopback API server as a cluster, by its administrator."""
    return Bench(connect(), "python:3-slim", backend="gke", tick=1.0)


@pytest.fixture
def kubernetes_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The loopback API server, or with ``-m cluster`` the real one: then in a namespace of its own."""
    real = RealCluster.chosen(request.config)
    if real is None:
        yield request.getfixturevalue("kube")
        return
    from kubernetes import client, config

    namespace = f"kinetic-test-{uuid.uuid4().hex[:8]}"
    with config.new_client_from_config(str(real.kubeconfig)) as api:
        core = client.CoreV1Api(api)
        core.create_namespace({"metadata": {"name": namespace}})
        until(lambda: core.list_namespaced_service_account(namespace).items, "service account", PATIENCE)
        try:
            cluster = KubernetesCluster(Kubeconfig("tests", str(real.kubeconfig)).access(), namespace)
            yield Bench(cluster, real.image, namespace, "gke", PATIENCE, startup=30.0, tick=1.0)
        finally:
            core.delete_namespace(namespace)
            clients.close()


@pytest.fixture
def node(root: Path) -> Callable[[JobHandle], int]:
    """Process id of a job's node, once it has begun."""

    def pid(handle: JobHandle) -> int:
        path = root / handle.namespace / handle.k8s_name / "node.json"
        until(path.exists, "node")
        return int(json.loads(path.read_text())["pid"])

    return pid


@pytest.fixture
def dead() -> Callable[[int], bool]:
    """Whether a process has ended; one that nobody has buried yet counts."""
    import psutil

    def ended(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return ended
