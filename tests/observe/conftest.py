"""A DAG file and a local platform for every test, and a task that has deferred on a job that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tasks
from cloud import BUCKET, Cloud
from execution_api import ExecutionApi
from followers import IMAGE, TIMING, Place, complete
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from installation import TaskKey
from kube import Image
from project import until
from shop import Shop

from airflow_provider_kinetic.clusters.kubernetes import KubernetesCluster
from airflow_provider_kinetic.clusters.watch import KubernetesWatcher
from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState
from airflow_provider_kinetic.stores.gcs import GcsStore
from airflow_provider_kinetic.triggers.job import KineticJobTrigger

KEY = TaskKey("shop", "job", "run_1")
GATED = "def f():\n    at_the_gate('{gate}')\n    return 42"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        yield shop


@dataclass
class Deferred:
    """A task that waits in the triggerer for a job that waits at the gate."""

    shop: Shop
    handle: JobHandle

    @property
    def state(self) -> JobState:
        return self.shop.ports.cluster.status(self.handle).state

    @property
    def left_alone(self) -> bool:
        """It runs, and nobody has told it to stop."""
        status = self.shop.ports.cluster.status(self.handle)
        return status.state is JobState.RUNNING and not status.stopping

    @property
    def row(self) -> Any:
        return self.shop.db.rows[KEY]

    def watch(
        self, meanwhile: Callable[[], object] = lambda: None, api: ExecutionApi | None = None
    ) -> tuple[Any, list[str]]:
        """One life of the trigger: its event's payload, and its log."""
        with tasks.captured_log() as log:
            return tasks.watch(self.shop.db, KEY, meanwhile=meanwhile, api=api), log

    def resume(self) -> tasks.TaskResult:
        """The worker's second leg."""
        return self.shop.run()

    def print(self, *chunks: str) -> None:
        """Let the job have printed these chunks so far."""
        for number, text in enumerate(chunks, 1):
            self.shop.ports.store.write(f"{self.handle.logs}0001-{number:08d}.log", text.encode())


@pytest.fixture
def defer(shop: Shop) -> Callable[..., Deferred]:
    def start(function: str = GATED, **options: Any) -> Deferred:
        shop.job(function, deferrable=True, **options)
        shop.db.queue(KEY, max_tries=options.get("retries", 1))
        tasks.work(shop.load("job"), shop.db, KEY)
        assert shop.db.rows[KEY].state == "deferred"
        until(lambda: shop.begun)
        json.dumps(shop.db.rows[KEY].trigger)
        return Deferred(shop, shop.handle())

    return start


@dataclass
class Watched:
    """A cluster that tells of changes, and a bucket, as the connection ``kinetic_default``."""

    place: Place
    ports: Ports
    opened: list[str]
    """Connections for which ports were opened."""

    def submit(self, **manifest: Any) -> JobHandle:
        """A job that runs until it is told to end; the trigger of its task is :meth:`trigger`."""
        return self.located(self.place.submit(**manifest))

    def located(self, handle: JobHandle) -> JobHandle:
        outputs = f"gs://{BUCKET}/outputs/{handle.job_id}"
        return replace(handle, store_root=f"gs://{BUCKET}", output_dir=outputs, stop_grace=0.0)

    def trigger(self, handle: JobHandle, **arguments: Any) -> KineticJobTrigger:
        return KineticJobTrigger(job=handle.to_dict(), kinetic_conn_id="kinetic_default", **arguments)

    def finish(self, handle: JobHandle) -> None:
        """Let a job end that runs."""
        until(lambda: self.place.running(handle))
        self.place.finish(handle)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    unused: Any = None
    opened: list[str] = []
    with Cloud.opened(tmp_path, bookmark_every=0.3) as cloud:
        cloud.enter(monkeypatch)
        cloud.kube.images[IMAGE] = Image(idle=True)
        place = Place(cloud.kube)
        cluster = KubernetesCluster(place.access(), place.namespace)
        store = GcsStore(lambda: Client(project="tests", credentials=AnonymousCredentials()))
        ports = Ports(cluster, store, unused, KubernetesWatcher(place.access(), place.namespace, TIMING))

        def open_them(target: Any) -> Ports:
            opened.append(target.kinetic_conn_id)
            return ports

        monkeypatch.setitem(platforms.PLATFORMS, "kubernetes", open_them)
        yield Watched(place, ports, opened)


@pytest.fixture
def live() -> Callable[..., tuple[Any, list[str]]]:
    """Run a trigger to its event, as ``dag.test()`` does: without a task instance. Its payload, and its log."""

    def lived(trigger: KineticJobTrigger, meanwhile: Callable[[], object] = lambda: None) -> tuple[Any, list[str]]:
        async def life() -> Any:
            other = asyncio.create_task(asyncio.to_thread(meanwhile))
            events = [event.payload async for event in trigger.run()]
            await other
            return events

        with tasks.captured_log() as log:
            (payload,) = complete(life())
        return payload, log

    return lived
