"""Parts that are made when they are first used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kinetic.hooks.late import LateWatcher, late
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus

FIELDS = ("job_id", "backend", "project", "cluster_name", "zone", "namespace", "bucket_name", "k8s_name", "image_uri")
REST = ("accelerator", "func_name", "display_name", "created_at")
HANDLE = JobHandle(**dict.fromkeys(FIELDS + REST, "gke"))


class Followed:
    """A watcher whose jobs all run; remembers who follows."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.following = 0

    def follow(self, handle: JobHandle) -> Any:  # noqa: ARG002
        return self._following()

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[Followed]:
        self.following += 1
        yield self
        self.following -= 1

    async def status(self) -> JobStatus:
        return JobStatus(JobState.RUNNING)

    async def changed(self, longest: float | None = None) -> None:
        """At once."""


def test_nothing_is_made_before_it_is_used() -> None:
    made: list[str] = []

    def make() -> str:
        made.append("x")
        return "text"

    text = late(make)
    assert made == []
    assert text.upper() == "TEXT"
    assert text.title() == "Text"
    assert made == ["x"]


def test_what_could_not_be_made_is_tried_again() -> None:
    answers: list[Any] = [ClusterError("away"), "text"]

    def make() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    text = late(make)
    with pytest.raises(ClusterError):
        text.upper()
    assert text.upper() == "TEXT"


def test_a_watcher_is_made_once_and_never_on_the_event_loop() -> None:
    async def scenario() -> None:
        made: list[Followed] = []

        def make() -> Any:
            made.append(Followed())
            return made[0]

        watcher = LateWatcher(make, polled="pathways")
        following = [watcher.follow(HANDLE) for _ in range(3)]
        assert made == []
        for each in following:
            assert each is not None
            async with each as subscription:
                assert (await subscription.status()).state is JobState.RUNNING
                await subscription.changed()
                assert made[0].following == 1
        assert len(made) == 1
        assert made[0].following == 0
        assert made[0].thread != threading.get_ident()

    asyncio.run(scenario())


def test_a_cluster_that_cannot_be_looked_up_does_not_answer() -> None:
    """All who wait share one attempt, and none ends because of it."""

    async def scenario() -> None:
        attempts: list[int] = []

        def make() -> Any:
            attempts.append(1)
            if len(attempts) == 1:
                raise ClusterError("Google does not answer")
            return Followed()

        watcher = LateWatcher(make, polled="pathways", again=0.2)
        first, second = watcher.follow(HANDLE), watcher.follow(HANDLE)
        assert first is not None
        assert second is not None
        async with first as one, second as two:
            for subscription in (one, two):
                with pytest.raises(ClusterError, match="does not answer"):
                    await subscription.status()
            assert len(attempts) == 1
            await one.changed(0.3)
            assert (await one.status()).state is JobState.RUNNING
            assert (await two.status()).state is JobState.RUNNING
        assert len(attempts) == 2

    asyncio.run(scenario())


def test_jobs_that_no_watcher_follows() -> None:
    assert LateWatcher(Followed, polled="pathways").follow(replace(HANDLE, backend="pathways")) is None
