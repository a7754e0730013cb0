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
from airflow_provider_kinetic.model.kubernetes.objects import entries, text
from airflow_provider_kinetic.model.kubernetes.pods import newest_first
from airflow_provider_kinetic.model.kubernetes.status import status_of
from airflow_provider_kinetic.model.status import JobState, JobStatus

Object = Mapping[str, Any]

_LIST_PODS = "list pods"


def job_status(session: Session, namespace: str, name: str, memory: Memory) -> JobStatus:
    """State of the Job ``name``."""
    job, at = session.find(paths.job(namespace, name), f"get {paths.JOB_RESOURCE}")
    if job is None:
        return status_of(None, (), server_time=at)
    pods = session.list(paths.pods(namespace), _LIST_PODS, paths.of_job(name))
    known = memory.of(job)
    status = status_of(job, pods.items, known.events, server_time=pods.time)
    if status.state is JobState.PENDING or known.pods != _names(pods.items):
        events = [*known.events, *_events(session, namespace, job, pods.items, status)]
        status = status_of(job, pods.items, events, server_time=pods.time)
        known = replace(known, pods=_names(pods.items), events=_lasting(events))
    status = replace(status, started_at=_earliest(known.started_at, status.started_at))
    memory.keep(job, replace(known, started_at=status.started_at))
    return status


def group_status(session: Session, namespace: str, name: str, version: str | None) -> JobStatus:
    """State of upstream's LeaderWorkerSet ``name``; ``version`` None: the cluster has no such objects."""
    group = None
    if version is not None:
        group, _ = session.find(paths.leaderworkerset(namespace, name, version), f"get {paths.GROUP_RESOURCE}")
    pods = session.list(paths.pods(namespace), _LIST_PODS, paths.of_job(name))
    status = group_status_of(group, pods.items, name=name, server_time=pods.time)
    if status.state is JobState.PENDING:
        leader = [pod for pod in pods.items if text(pod, "metadata", "name") == f"{name}-0"]
        events = _events(session, namespace, group or {}, leader, status)
        status = group_status_of(group, pods.items, events, name=name, server_time=pods.time)
    return status


def served_group_version(session: Session) -> str | None:
    """Version in which the cluster serves LeaderWorkerSets, None where it does not."""
    answer = session.ask("GET", paths.API_GROUPS, "get /apis/", accept=(403,))
    return "v1" if answer.status == 403 else group_version(read(answer.response, "get /apis/"))


def _events(session: Session, namespace: str, owner: Object, pods: Sequence[Object], status: JobStatus) -> list[Object]:
    """Of the Job; of its newest pod while that waits; of the oldest pod that is gone, for when it was started.

    Events outlive what they are about, so those of an earlier Job of that name are left out.
    """
    name, uid = text(owner, "metadata", "name"), text(owner, "metadata", "uid")
    found = [event for event in _about(session, namespace, name) if text(event, "involvedObject", "uid") in ("", uid)]
    here = [pod.name for pod in newest_first(pods)]
    made = Events.of(found, name).created_pods()
    gone = sorted((at, pod) for pod, at in made.items() if pod not in here)
    waiting = here[:1] if status.state is JobState.PENDING else []
    for pod in [*waiting, *(pod for _, pod in gone[:1])]:
        found += _about(session, namespace, pod)
    return found


def _about(session: Session, namespace: str, name: str) -> list[Object]:
    """They explain and never decide, so an identity that may not see them still gets a status."""
    what = "list events"
    answer = session.ask("GET", paths.events(namespace), what, query=paths.about(name), accept=(403, 404))
    return list(entries(read(answer.response, what, namespace), "items")) if answer.response.is_success else []


@dataclass(frozen=True)
class Known:
    """What was read of one Job and may not be read again: events are kept for an hour.

    ``pods`` are those of the last look that asked for events: where there are others now, one may have come and gone.
    """

    pods: frozenset[str] | None = None
    events: tuple[Object, ...] = ()
    started_at: float | None = None


class Memory:
    """What is known of the Jobs that were looked at last, by uid; thread-safe."""

    LONGEST = 1000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Known] = OrderedDict()

    def of(self, job: Object) -> Known:
        with self._lock:
            return self._known.get(text(job, "metadata", "uid"), Known())

    def keep(self, job: Object, known: Known) -> None:
        uid = text(job, "metadata", "uid")
        with self._lock:
            self._known[uid] = known
            self._known.move_to_end(uid)
            while len(self._known) > self.LONGEST:
                self._known.popitem(last=False)


def _lasting(events: Sequence[Object]) -> tuple[Object, ...]:
    """Each of those once that count attempts; others only explain the moment."""
    counted = (event for event in events if text(event, "reason") in ("SuccessfulCreate", "Started"))
    return tuple({text(event, "metadata", "name"): event for event in counted}.values())


def _names(pods: Sequence[Object]) -> frozenset[str]:
    return frozenset(text(pod, "metadata", "name") for pod in pods)


def _earliest(*times: float | None) -> float | None:
    return min((at for at in times if at is not None), default=None)
