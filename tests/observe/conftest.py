"""A DAG file and a local platform for every test, and a task that has deferred on a job that runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tasks
from execution_api import ExecutionApi
from installation import TaskKey
from project import until
from shop import Shop

from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState

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
