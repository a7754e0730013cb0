"""A DAG file of Kinetic tasks and a cloud for them: the same shop, in another street."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cloud import IMAGE, Cloud
from installation import Installation
from kube.errors import Object
from project import until
from shop import Shop
from workers import NO_WAITING

from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.ports import Ports

PATIENCE = 60.0
"""Seconds within which what a test waits for happens, also on a machine that does much else."""


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
            yield
            acting.result(PATIENCE)
