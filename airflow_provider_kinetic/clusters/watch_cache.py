"""Kinetic's Jobs and pods of one namespace as a watch has told of them, and what that means for each job.

No I/O and no clock. Two streams fill this, one of Jobs and one of pods, and either may be ahead: a pod may come before
its Job, and a Job may be complete before the pod that did it. So every entry also knows whether what
it holds is enough to say how a job ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from airflow_provider_kinetic.clusters.watch_objects import (
    EVENT,
    Kept,
    Object,
    job_of,
    pruned,
    without_environment,
)
from airflow_provider_kinetic.clusters.watch_pods import Pods
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.events import Events
from airflow_provider_kinetic.model.kubernetes.objects import condition, section, text
from airflow_provider_kinetic.model.kubernetes.pods import Pod
from airflow_provider_kinetic.model.kubernetes.status import status_of
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

DELETED = "DELETED"
LISTED = "LISTED"
"""Beside the types of a watch: the object stood in a listing, which is right whatever was known before."""
EVENTS = 20
"""Newest events that are kept of one job."""


class _Judgement(NamedTuple):
    """What a status was made of, and what came of it."""

    made_of: tuple[object, ...]
    status: JobStatus
    explained: bool
    """A pod of a job that is over tells how."""


class Entry:
    """One job, whether it is known yet or not."""

    __slots__ = (
        "_job",
        "_judgement",
        "changes",
        "confirmed",
        "events",
        "fetched_at",
        "followers",
        "gone",
        "name",
        "pods",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self._job: Kept | None = None
        self._judgement: _Judgement | None = None
        self.pods = Pods()
        self.gone = False
        """It was there and has been deleted."""
        self.events: dict[str, Object] = {}
        self.followers: list[Callable[[], object]] = []
        """Called when something has changed that a status is made of."""
        self.fetched_at: float | None = None
        """When the Job was asked for by name; None where the watch told of it, and will again."""
        self.changes = 0
        """Of its Job and pods, so far."""
        self.confirmed = False
        """Its pods were asked for after its end: there are no others."""

    def stir(self) -> None:
        """Tell those who follow."""
        for follower in tuple(self.followers):
            follower()

    @property
    def known(self) -> bool:
        """There is a Job, as far as is known."""
        return self._job is not None

    @property
    def job(self) -> Object | None:
        return None if self._job is None else self._job.whole

    def lose(self) -> None:
        """Whether there is a Job is not known any more."""
        self._job = None

    @property
    def idle(self) -> bool:
        """Nobody and nothing needs it."""
        return not self.followers and self._job is None and not self.pods

    @property
    def suspended(self) -> bool:
        job = self.job
        return section(job, "spec").get("suspend") is True or condition(job, "Suspended") is not None

    def status(self, server_time: float) -> JobStatus:
        """The job's state; ``NOT_FOUND`` where no Job is known."""
        return replace(self._judged().status, server_time=server_time)

    def _judged(self) -> _Judgement:
        """The last judgement, where it was made of the same."""
        made_of = (self._job, *self.pods.known, *self.events.values())
        if self._judgement is None or self._judgement.made_of != made_of:
            pods = self.pods.own
            status = self._status_with(pods)
            self._judgement = _Judgement(made_of, status, status.state.terminal and _explained(status, pods))
        return self._judgement

    def _status_with(self, pods: list[Object]) -> JobStatus:
        """A pod that is gone took its numbers along, so attempts, preemptions and the first start are remembered."""
        status = status_of(self.job, pods, list(self.events.values()), server_time=0.0)
        if self._job is None:
            return status
        starts = [at for at in (status.started_at, *self.pods.started.values()) if at is not None]
        return replace(
            status,
            attempts=max(status.attempts, len(self.pods.started)),
            preemptions=max(status.preemptions, len(self.pods.disrupted)),
            started_at=min(starts, default=None),
        )

    def proved(self, status: JobStatus) -> bool:
        """Whether the pod that explains a terminal status has been seen, or cannot come any more."""
        if self._job is None or self.confirmed or status.reason is Reason.DEADLINE:
            return True
        return self._judged().explained

    def put_job(self, raw: Object, sure: bool = False) -> bool:
        """True where that changes what is known. ``sure``: even where it looks older than what is known."""
        job, known = Kept.of(raw), self._job
        if known is not None and not sure and job.older(known):
            return False
        self._job = job
        if known is None or known.uid != job.uid:
            self.confirmed = False
            self.pods.adopt(job.uid)
        changed = self.gone or known is None or known.body != job.body
        self.gone = False
        return changed

    def drop_job(self, uid: str) -> bool:
        """A Job of the same name that was made later stays."""
        if self._job is not None and self._job.uid != uid:
            return False
        changed = not self.gone
        self._job, self.pods.owner, self.gone = None, None, True
        return changed

    def put_events(self, raw: Iterable[Object]) -> bool:
        """True where they say something else than those that were there."""
        before = self._said()
        told = {text(event, "metadata", "name"): pruned(event, EVENT) for event in raw}
        kept = {name: event for name, event in self.events.items() if name not in told}
        self.events = dict([*kept.items(), *told.items()][-EVENTS:])
        return self._said() != before

    def _said(self) -> list[tuple[str, str, str]]:
        return [(event.name, event.reason, event.message) for event in Events.of(self.events.values(), self.name).all]


def _explained(status: JobStatus, own: list[Object]) -> bool:
    pods = [Pod(raw) for raw in own]
    if status.state is JobState.SUCCEEDED:
        return any(pod.phase == "Succeeded" or pod.exit_code == 0 for pod in pods)
    ended = [pod for pod in pods if pod.ended or pod.exit_code is not None]
    return any(not pod.disruption or pod.exit_code in protocol.FINAL_EXITS for pod in ended)


class Cache:
    """Every job of the namespace by its name."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def entry(self, name: str) -> Entry:
        """That of the job, made where there is none."""
        found = self.entries.get(name)
        if found is None:
            found = self.entries[name] = Entry(name)
        return found

    def release(self, entry: Entry) -> None:
        """Forget what nobody needs."""
        if entry.idle and self.entries.get(entry.name) is entry:
            del self.entries[entry.name]

    def tell_job(self, kind: str, job: Object) -> None:
        """A Job as a listing or a watch has it, pruned to its shape; ``kind`` is the event's type."""
        job = without_environment(job)
        entry = self.entry(text(job, "metadata", "name"))
        gone = kind == DELETED
        changed = entry.drop_job(text(job, "metadata", "uid")) if gone else entry.put_job(job, kind == LISTED)
        entry.fetched_at = None
        self._settle(entry, changed)

    def tell_pod(self, kind: str, pod: Object) -> None:
        if name := job_of(pod):
            entry = self.entry(name)
            self._settle(entry, entry.pods.drop(pod) if kind == DELETED else entry.pods.put(pod, kind == LISTED))

    def only_jobs(self, names: set[str]) -> None:
        """A listing is complete: Jobs that it does not have are unknown from now on, until somebody asks for them."""
        for entry in list(self.entries.values()):
            if entry.known and entry.fetched_at is None and entry.name not in names:
                entry.lose()
                self._settle(entry, True)

    def only_pods(self, names: set[str]) -> None:
        for entry in [each for each in self.entries.values() if each.fetched_at is None]:
            for name in entry.pods.names - names:
                self._settle(entry, entry.pods.lose(name))

    def _settle(self, entry: Entry, changed: bool) -> None:
        if entry.gone and not entry.known:
            entry.pods.clear()
        if changed:
            entry.changes += 1
            entry.stir()
        self.release(entry)
