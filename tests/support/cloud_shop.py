"""A DAG file of Kinetic tasks and a cloud for them: the same shop, in another street."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cloud import IMAGE, Cloud
from installation import Installation
from kube.errors import Object
from kube.resources import JOBS
from project import until
from shop import Shop
from workers import NO_WAITING

from airflow_provider_kinetic.clusters.watch import KubernetesWatcher
from airflow_provider_kinetic.clusters.watch_stream import TIMING
from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.hooks.kubernetes import KineticKubernetesHook
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.target import Target

PATIENCE = 60.0
"""Seconds within which what a test waits for happens, also on a machine that does much else."""
IN_EITHER_STORE = pytest.mark.parametrize("shop", ["file", pytest.param("gs", marks=pytest.mark.faults)], indirect=True)
"""Of a folder's ``shop`` fixture: jobs of this machine, then those of a cluster, with their outputs in a bucket."""


@dataclass
class CloudShop(Shop):
    """Everything of one test."""

    cloud: Cloud

    image = IMAGE
    namespace = "default"

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[CloudShop]:
        """``options`` are those of :class:`~kube.server.KubeServer`."""
        for name, value in NO_WAITING.items():
            monkeypatch.setenv(name, value)
        with Cloud.opened(folder, **options) as cloud:
            shop = cls(folder, Installation(), monkeypatch, cloud)
            shop.connect()
            shop.dag_file.parent.mkdir()
            yield shop

    def connect(self, **extra: Any) -> None:
        self.db.connections = self.cloud.enter(self.monkeypatch, **extra)
        self.namespace = extra.get("namespace", self.namespace)

    @property
    def ports(self) -> Ports:
        return KineticHook().ports

    def refit(self, change: Callable[[Ports], Any]) -> None:
        real = platforms.PLATFORMS["kubernetes"]
        self.monkeypatch.setitem(platforms.PLATFORMS, "kubernetes", lambda target: change(real(target)))

    def hurry(self) -> None:
        """Triggers ask for the events of waiting jobs at once, not after seconds."""
        opened = platforms.PLATFORMS["kubernetes"]
        quick = replace(TIMING, events=0.2, explain=0.5)

        def open_quickly(target: Target) -> Ports:
            access = KineticKubernetesHook(target.kubernetes_conn_id).access()
            return replace(opened(target), watcher=KubernetesWatcher(access, target.namespace, quick))

        self.monkeypatch.setitem(platforms.PLATFORMS, "kubernetes", open_quickly)

    @property
    def artifacts(self) -> list[str]:
        names = (name.partition("/")[0] for name in self.cloud.objects())
        return sorted({name for name in names if name.startswith("job-")})

    # The cluster's side

    @property
    def jobs(self) -> list[Object]:
        return self.cloud.jobs(self.namespace)

    @property
    def pods(self) -> list[Object]:
        """Oldest first; those that are gone are not among them."""
        return self.cloud.kube.pods("", self.namespace)

    def running(self, attempt: int = 1) -> Object:
        """The pod, as soon as the function of the job's ``attempt`` waits at the gate in it."""
        until(lambda: len(self.calls) >= attempt, PATIENCE)
        return next(pod for pod in reversed(self.pods) if pod["status"]["phase"] == "Running")

    @contextmanager
    def meanwhile(self, act: Callable[[], object]) -> Iterator[None]:
        """``act`` in a thread beside what the block does; what it raises is raised at the end of the block."""
        with ThreadPoolExecutor(1) as pool:
            acting = pool.submit(act)
            acting.add_done_callback(self._give_up)
            yield
            acting.result(PATIENCE)

    def _give_up(self, acting: Future[object]) -> None:
        """Nobody else would end what waits for an act that failed."""
        if acting.exception() is not None:
            kube = self.cloud.kube
            for job in self.jobs:
                kube.registry.delete(JOBS, self.namespace, job["metadata"]["name"], {"propagationPolicy": "Foreground"})
            self.cloud.heal()
