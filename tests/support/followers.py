"""A cluster with jobs that wait for the test, and a watcher whose patience fits one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from garbage import collected
from kube import KubeServer
from kube.resources import JOBS

from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.clusters.base import Subscription
from airflow_provider_kinetic.clusters.watch import KubernetesWatcher
from airflow_provider_kinetic.clusters.watch_stream import Timing
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.status import JobState, JobStatus

IMAGE = "idle"
"""A container without a process: it runs until the test ends it."""
PATIENCE = 20.0
TIMING = Timing(
    page=7,
    watch=60.0,
    silence=5.0,
    pause=0.05,
    longest_pause=0.3,
    answer=10.0,
    lost=30.0,
    evidence=0.5,
    unwatched=0.5,
    events=0.05,
    explain=0.2,
)


@dataclass
class Place:
    """A namespace and what is done in it."""

    server: KubeServer
    namespace: str = "default"
    made: int = 0

    def submit(self, name: str = "", **manifest: Any) -> JobHandle:
        """A job that runs until :meth:`finish`."""
        self.made += 1
        job_id = name or f"job-{self.made:04d}"
        given = {"image": IMAGE, "command": ("python3", "-c", ""), "accelerator": "cpu", **manifest}
        order = JobManifest(name=f"kinetic-{job_id}", namespace=self.namespace, job_id=job_id, **given)
        self.server.registry.create(JOBS, self.namespace, render(order))
        return self.handle(job_id)

    def handle(self, job_id: str, backend: str = "gke") -> JobHandle:
        nothing = ("", "", "")
        words = (self.namespace, "", f"kinetic-{job_id}", "", "cpu", "f", "f", "2026")
        return JobHandle(job_id, backend, *nothing, *words, platform="kubernetes")

    def pod(self, handle: JobHandle) -> Any:
        return self.server.pods(handle.k8s_name, self.namespace)[-1]

    def running(self, handle: JobHandle) -> bool:
        pods = self.server.pods(handle.k8s_name, self.namespace)
        return bool(pods) and pods[-1]["status"].get("phase") == "Running"

    def finish(self, handle: JobHandle, code: int = 0) -> None:
        self.server.finish(self.pod(handle), code)

    def delete(self, handle: JobHandle) -> None:
        options = {"propagationPolicy": "Background"}
        self.server.registry.delete(JOBS, self.namespace, handle.k8s_name, options)

    def access(self, token: str = "", identity: str = "admin") -> Access:
        token = token or self.server.admin
        return Access(
            self.server.url,
            identity,
            authority=self.server.authority.decode(),
            tokens=TokenSource(lambda: Token(token)),
        )

    def watcher(self, timing: Timing = TIMING, **access: Any) -> KubernetesWatcher:
        return KubernetesWatcher(self.access(**access), self.namespace, timing)

    def asked(self, verb: str = "", resource: str = "") -> int:
        return self.server.requests.count(verb, resource)


@asynccontextmanager
async def following(watcher: KubernetesWatcher, handle: JobHandle) -> AsyncIterator[Subscription]:
    context = watcher.follow(handle)
    assert context is not None
    async with context as subscription:
        yield subscription


async def reaches(subscription: Subscription, condition: Callable[[JobStatus], object]) -> JobStatus:
    """The first status for which it is so; only changes are waited for, nothing is asked twice."""
    async with asyncio.timeout(PATIENCE):
        while not condition(status := await subscription.status()):
            await subscription.changed()
    return status


def running(status: JobStatus) -> bool:
    return status.state is JobState.RUNNING


def over(status: JobStatus) -> bool:
    return status.state.terminal


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0.02)


def complete(scenario: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end; nothing may be left: no task, no connection (warnings of unclosed ones are errors).

    Only what closes a generator, which is no coroutine, may need a moment: httpx leaves those inside a stream to the
    garbage collector, and the loop closes each in a task, one after the other.
    """

    def others() -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    async def alone() -> Any:
        result = await asyncio.wait_for(scenario, 60)
        left = {task for task in others() if inspect.iscoroutine(task.get_coro())}
        assert not left, left
        await until(lambda: not others())
        return result

    with collected():
        return asyncio.run(alone())
