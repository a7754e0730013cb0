"""Reading the state of one job: its object, its pods, and events only where they say more than those.

The object is read first and events last: what is seen of a pod is then never older than what is concluded from its
Job, and an event never tells of a pod that was not looked for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.kubernetes_api import group_version, read
from airflow_provider_kinetic.clusters.kubernetes_session import Session
from airflow_provider_kinetic.model.kubernetes.events import Events
from airflow_provider_kinetic.model.kubernetes.group import group_status_of
from airflow_provider_kinetic.model.kubernetes.objects import entries, moment, text
from airflow_provider_kinetic.model.kubernetes.pods import newest_first
from airflow_provider_kinetic.model.kubernetes.status import status_of
from airflow_provider_kinetic.model.status import JobState, JobStatus

Object = Mapping[str, Any]

_LIST_PODS = "list pods"
_PROMPT = 2.0
"""Seconds from a Job's start within which its first pod is made; times of objects are whole seconds."""


def job_status(session: Session, namespace: str, name: str, memory: Memory) -> JobStatus:
    """State of the Job ``name``."""
    job, at = session.find(paths.job(namespace, name), f"get {paths.JOB_RESOURCE}")
    if job is None:
        return status_of(None, (), server_time=at)
    pods = session.list(paths.pods(namespace), _LIST_PODS, paths.of_job(name))
    status = status_of(job, pods.items, server_time=pods.time)
    if status.state is JobState.PENDING or _first_pod_gone(job, pods.items):
        events = _events(session, namespace, name, pods.items, status)
        status = status_of(job, pods.items, events, server_time=pods.time)
    return memory.completed(job, status)


def group_status(session: Session, namespace: str, name: str, version: str | None) -> JobStatus:
    """State of upstream's LeaderWorkerSet ``name``; ``version`` None: the cluster has no such objects."""
    group = None
    if version is not None:
        group, _ = session.find(paths.leaderworkerset(namespace, name, version), f"get {paths.GROUP_RESOURCE}")
    pods = session.list(paths.pods(namespace), _LIST_PODS, paths.of_job(name))
    status = group_status_of(group, pods.items, name=name, server_time=pods.time)
    if status.state is JobState.PENDING:
        events = _events(session, namespace, name, pods.items, status)
        status = group_status_of(group, pods.items, events, name=name, server_time=pods.time)
    return status


def served_group_version(session: Session) -> str | None:
    """Version in which the cluster serves LeaderWorkerSets, None where it does not."""
    answer = session.ask("GET", paths.API_GROUPS, "get /apis/", accept=(403,))
    return "v1" if answer.status == 403 else group_version(read(answer.response, "get /apis/"))


def _first_pod_gone(job: Object, pods: Sequence[Object]) -> bool:
    """Whether pods were made before the oldest that is there: only events still tell of them."""
    started = moment(job, "status", "startTime")
    made = [at for pod in pods if (at := moment(pod, "metadata", "creationTimestamp")) is not None]
    return started is not None and (not made or min(made) > started + _PROMPT)


def _events(session: Session, namespace: str, name: str, pods: Sequence[Object], status: JobStatus) -> list[Object]:
    """Of the Job; of its newest pod while that waits; of the oldest pod that is gone, for when it was started."""
    found = _about(session, namespace, name)
    here = {pod.name for pod in newest_first(pods)}
    made = Events.of(found, name).created_pods()
    gone = sorted((at, pod) for pod, at in made.items() if pod not in here)
    others = [pod.name for pod in newest_first(pods)[:1] if status.state is JobState.PENDING]
    others += [pod for _, pod in gone[:1]]
    for other in others:
        found += _about(session, namespace, other)
    return found


def _about(session: Session, namespace: str, name: str) -> list[Object]:
    """They explain and never decide, so an identity that may not see them still gets a status."""
    what = "list events"
    answer = session.ask("GET", paths.events(namespace), what, query=paths.about(name), accept=(403, 404))
    return list(entries(read(answer.response, what, namespace), "items")) if answer.response.is_success else []


@dataclass(frozen=True)
class _Seen:
    attempts: int
    preemptions: int
    started_at: float | None


class Memory:
    """What was once known of a Job and cannot be read any more: events are kept for an hour. Thread-safe, bounded."""

    LONGEST = 1000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def completed(self, job: Object, status: JobStatus) -> JobStatus:
        """``status`` with what an earlier one of the same Job, by its uid, knew better."""
        uid = text(job, "metadata", "uid")
        with self._lock:
            before = self._seen.pop(uid, _Seen(0, 0, None))
            seen = _Seen(
                max(before.attempts, status.attempts),
                max(before.preemptions, status.preemptions),
                _earliest(before.started_at, status.started_at),
            )
            self._seen[uid] = seen
            while len(self._seen) > self.LONGEST:
                self._seen.popitem(last=False)
        return replace(status, attempts=seen.attempts, preemptions=seen.preemptions, started_at=seen.started_at)


def _earliest(*times: float | None) -> float | None:
    return min((at for at in times if at is not None), default=None)
