"""Watching a job to its end: one description, two drivers.

:func:`watch` is a generator. It yields *effects* (look at the job, show new log lines, wait, cancel)
and is sent their results; it touches nothing itself. The worker performs the effects one after the
other and sleeps, the triggerer awaits them, and where the cluster tells of changes it waits for those
instead of polling: the modes cannot drift apart (``lifecycle/effects.py``). A job whose image is still built is watched
from there on: the build, one creation from the order in the store, then the job.

A job's own deadlines are judged by the server's clock as it stands in the status (``design`` 3.7), so an observer
that was asleep does not time out a job that was not. The task's is Airflow's, and judged by the observer's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kinetic.clusters.base import ClusterRefused
from airflow_provider_kinetic.lifecycle import building, cleanup
from airflow_provider_kinetic.lifecycle.creation import create_once
from airflow_provider_kinetic.lifecycle.effects import (
    EXECUTION_TIMEOUT,
    FINAL,
    SHORTEST_PAUSE,
    ExecutionTimeout,
    Pause,
    Say,
    Show,
    Wait,
    insist,
)
from airflow_provider_kinetic.lifecycle.logs import output_after
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.diagnosis import advice
from airflow_provider_kinetic.model.errors import (
    InfrastructureError,
    KineticError,
    StoreError,
)
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.images import Build
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

SHOWN_AT_MOST = 16 * 1024 * 1024
"""Characters of the job's output that one observation shows: the task log is a view, the log is in the store."""

CHUNKS_PER_LOOK = 8
"""Chunks of at most 1 MiB that one look shows; the rest follows at the next look, or when the job is over."""

NOT_CREATED = (*FINAL, ClusterRefused)
"""Why a job does not come into being; whoever lacks a permission hears of it at once, as from a worker."""


@dataclass(frozen=True)
class Outcome:
    """How it ended. ``timeout`` names the parameter whose deadline passed, ``cursor`` the last log chunk shown.

    ``error`` says why the job never came into being: its image could not be built, or the cluster refused it.
    """

    status: JobStatus
    cursor: str = ""
    timeout: str = ""
    limit: float = 0.0
    error: KineticError | None = None

    def to_dict(self) -> dict[str, Any]:
        plain = {"status": self.status.to_dict(), "cursor": self.cursor, "timeout": self.timeout, "limit": self.limit}
        return plain if self.error is None else {**plain, "error": self.error.to_dict()}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Outcome:
        error = KineticError.from_dict(raw["error"]) if raw.get("error") else None
        return cls(**{**raw, "status": JobStatus.from_dict(raw["status"]), "error": error})


@dataclass(frozen=True)
class Create:
    """Create the job from the manifest at this URI, unless somebody has."""

    handle: JobHandle
    manifest: str

    def perform(self, ports: Ports) -> None:
        create_once(ports, self.handle, self.manifest)


@dataclass(frozen=True)
class Look:
    """Read the job's status."""

    handle: JobHandle

    def perform(self, ports: Ports) -> JobStatus:
        return ports.cluster.status(self.handle)


@dataclass(frozen=True)
class Tail:
    """Read new output: a list of (cursor, text). An observer may answer with less, or nothing; what is left is read
    next time. ``last``: the job is over.
    """

    handle: JobHandle
    cursor: str
    last: bool = False

    def perform(self, ports: Ports) -> list[tuple[str, str]]:
        return list(output_after(ports, self.handle, self.cursor, CHUNKS_PER_LOOK, last=self.last))


@dataclass(frozen=True)
class Cancel:
    """Cancel the job because a deadline passed. What is known of it is kept before anything is deleted."""

    handle: JobHandle
    why: str
    status: JobStatus

    def perform(self, ports: Ports) -> None:
        waited = f"; it was {describe(self.status)}"
        ended = replace(
            self.status,
            state=JobState.FAILED,
            reason=Reason.DEADLINE,
            message=f"{self.why} passed{waited}",
            finished_at=self.status.server_time,
        )
        with suppress(StoreError):
            cleanup.preserve(ports, self.handle, ended)
        cleanup.cancel(ports, self.handle, by=self.why)


Effect = Create | Look | Tail | Cancel | Pause | Say | Show
Watch = Wait[Outcome]


@dataclass(frozen=True)
class Deadline:
    """Which parameter ends the observation, at how many seconds, and how many of them are left."""

    parameter: str
    limit: float
    left: float


def deadline_of(
    handle: JobHandle, status: JobStatus, timeout: ExecutionTimeout | None = None, *, now: float = 0.0
) -> Deadline | None:
    """The nearest deadline of a job that is not over.

    Until its first start that is ``startup_timeout``, from then on ``run_timeout``, and always the task's own timeout.

    :param now: the clock by which ``timeout`` was set, which is not the server's.
    """
    if status.state.terminal:
        return None
    deadlines = [Deadline(EXECUTION_TIMEOUT, timeout.seconds, timeout.at - now)] if timeout else []
    if status.started_at is None:
        name, limit, since = "startup_timeout", handle.startup_timeout, status.created_at
    else:
        name, limit, since = "run_timeout", handle.run_timeout, status.started_at
    if limit is not None and since is not None and status.server_time is not None:
        deadlines.append(Deadline(name, limit, since + limit - status.server_time))
    return min(deadlines, key=lambda deadline: deadline.left, default=None)


def describe(status: JobStatus) -> str:
    """One line for the task log; equal lines are shown once."""
    words = [status.state.value.lower().replace("_", " ")]
    if status.message:
        words.append(f"({status.message.rstrip('.')})")
    if status.attempts > 1:
        words.append(f"attempt {status.attempts}, preempted {status.preemptions}×")
    return " ".join(words)


def watch(
    handle: JobHandle,
    *,
    poll: float,
    cursor: str = "",
    timeout: ExecutionTimeout | None = None,
    cancels: bool = True,
    create: str | None = None,
    build: Build | None = None,
    note: Callable[[Build], None] = lambda _: None,
    clock: Callable[[], float] = time.time,
) -> Watch:
    """Describe the observation of one job, from any moment of its life, to its end or deadline.

    :param poll: seconds between two looks of an observer that has to ask.
    :param cursor: last log chunk that was already shown.
    :param timeout: when the observer has to give up.
    :param cancels: whether the job, and a build that its task started, end with an observer that gives up. The job's
        own deadlines always end it.
    :param create: URI of a manifest to create the job from first.
    :param build: the build of the job's image, to be waited for before that.
    :param note: told of the build that takes the place of one that was cancelled.
    :param clock: the observer's own, in Unix seconds.
    """
    poll = max(poll, SHORTEST_PAUSE)
    try:
        if build is not None:
            yield from building.wait_for(
                build, handle.root, poll=poll, timeout=timeout, cancels=cancels, note=note, clock=clock
            )
        if create is not None:
            yield from insist(Create(handle, create), f"Job {handle.job_id}", poll, final=NOT_CREATED)
    except NOT_CREATED as error:
        return Outcome(JobStatus(JobState.NOT_FOUND), error=error)
    return (yield from _observe(handle, poll, cursor, timeout, cancels, clock))


def _observe(
    handle: JobHandle,
    poll: float,
    cursor: str,
    timeout: ExecutionTimeout | None,
    cancels: bool,
    clock: Callable[[], float],
) -> Watch:
    """The job itself."""
    said, screen = "", _Screen(cursor)
    while True:
        status: JobStatus = yield from insist(Look(handle), f"Job {handle.job_id}", poll)
        if status.state.terminal:  # what the job said last comes before how it ended
            yield from _show_rest(handle, screen)
        said = yield from _tell(handle, status, said)
        if status.state.terminal:
            return Outcome(status, screen.cursor)
        if status.started_at is not None:
            yield from _show(handle, screen)
        deadline = deadline_of(handle, status, timeout, now=clock())
        if deadline is not None and deadline.left <= 0:
            if cancels or deadline.parameter != EXECUTION_TIMEOUT:
                yield from _end(handle, deadline, status, poll)
            return Outcome(status, screen.cursor, deadline.parameter, deadline.limit)
        longest = None if deadline is None else max(SHORTEST_PAUSE, deadline.left)
        yield Pause(poll if longest is None else min(poll, longest), longest)


def _tell(handle: JobHandle, status: JobStatus, said: str) -> Generator[Effect, Any, str]:
    """A line of state and, for one that waits for no good reason, a line of advice; once for each change."""
    line = describe(status)
    remedy = "" if status.state.terminal else advice(handle, status)
    if (telling := f"{line}\n{remedy}") != said:
        yield Say(f"Job {handle.job_id}: {line}")
        if remedy:
            yield Say(f"Job {handle.job_id}: {remedy}")
    return telling


def _end(handle: JobHandle, deadline: Deadline, status: JobStatus, poll: float) -> Generator[Effect, Any, None]:
    what = f"{deadline.parameter} of {deadline.limit:g} s"
    yield Say(f"Job {handle.job_id}: {what} passed, cancelling")
    yield from insist(Cancel(handle, what, status), f"Job {handle.job_id}", poll)


@dataclass
class _Screen:
    """How much of the job's output this observation has shown, and up to where."""

    cursor: str
    size: int = 0

    @property
    def full(self) -> bool:
        return self.size >= SHOWN_AT_MOST


def _show(handle: JobHandle, screen: _Screen, last: bool = False) -> Generator[Effect, Any, None]:
    if screen.full:
        return
    try:
        chunks: list[tuple[str, str]] = yield Tail(handle, screen.cursor, last)
    except InfrastructureError:
        return  # the next look shows what this one could not
    for name, text in chunks:
        yield Show(text, name)
        screen.cursor = name
        screen.size += len(text)
    if screen.full:
        where = f"all of it is in {handle.logs}" if handle.logs else "`airflow kinetic jobs logs` shows all of it"
        yield Say(f"Job {handle.job_id}: no more of its output is shown here, {where}")


def _show_rest(handle: JobHandle, screen: _Screen) -> Generator[Effect, Any, None]:
    """A few chunks at a time, for as long as the observer gets any."""
    before = None
    while screen.cursor != before:
        before = screen.cursor
        yield from _show(handle, screen, last=True)
