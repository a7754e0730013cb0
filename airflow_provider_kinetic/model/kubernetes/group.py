"""The state of a LeaderWorkerSet of upstream's client: we attach to these and never make them (contract 8.3).

Its containers are restarted after their end, and the group after that, so the last end of the leader's
container counts until the pod is deleted (contract P3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_kinetic.model.kubernetes.events import Events
from airflow_provider_kinetic.model.kubernetes.failure import of_pod
from airflow_provider_kinetic.model.kubernetes.objects import entries, moment, section, text, whole
from airflow_provider_kinetic.model.kubernetes.pods import Pod
from airflow_provider_kinetic.model.kubernetes.status import GONE
from airflow_provider_kinetic.model.kubernetes.waiting import why_waiting
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason


def group_status_of(
    group: Mapping[str, Any] | None,
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]] = (),
    *,
    name: str,
    server_time: float,
) -> JobStatus:
    """The state of the LeaderWorkerSet ``name``; never raises.

    :param group: the object, None where there is none.
    :param pods: those with the label ``job-name`` = ``name``; the leader is ``{name}-0``.
    """
    everyone = [Pod(raw) for raw in pods]
    leader = next((pod for pod in everyone if pod.name == f"{name}-0"), None)
    if leader is None:
        return _without_leader(group, server_time)
    state, reason, message = _judged(leader, [pod for pod in everyone if pod is not leader], events, name)
    return JobStatus(
        state,
        reason,
        message,
        exit_code=_exit_code(leader) if state.terminal else None,
        attempts=int(leader.started_at is not None),
        created_at=moment(group, "metadata", "creationTimestamp"),
        started_at=leader.started_at,
        finished_at=leader.finished_at if state.terminal else None,
        server_time=server_time,
        stopping=bool(text(group, "metadata", "deletionTimestamp")) and not state.terminal,
        objects=leader.objects if state.terminal else {},
    )


def _without_leader(group: Mapping[str, Any] | None, server_time: float) -> JobStatus:
    if group is None:
        return JobStatus(JobState.NOT_FOUND, message=GONE, server_time=server_time)
    return JobStatus(
        JobState.PENDING,
        Reason.STARTING,
        "the leader's pod is being created",
        created_at=moment(group, "metadata", "creationTimestamp"),
        server_time=server_time,
        stopping=bool(text(group, "metadata", "deletionTimestamp")),
    )


def _judged(
    leader: Pod, workers: Sequence[Pod], events: Sequence[Mapping[str, Any]], name: str
) -> tuple[JobState, Reason, str]:
    code = _exit_code(leader)
    if leader.phase == "Succeeded" or (leader.phase != "Failed" and code == 0):
        lost = next((pod for pod in workers if pod.phase == "Failed"), None)
        return _worker_failed(lost) if lost else (JobState.SUCCEEDED, Reason.NONE, "")
    if leader.phase == "Failed" or code is not None:
        return (JobState.FAILED, *of_pod(leader))
    if leader.phase == "Running":
        return JobState.RUNNING, Reason.NONE, ""
    return (JobState.PENDING, *why_waiting({}, [leader], Events.of(events, name)))


def _worker_failed(pod: Pod) -> tuple[JobState, Reason, str]:
    reason, message = of_pod(pod)
    return JobState.FAILED, reason, f"the worker {pod.name} failed: {message}"


def _exit_code(leader: Pod) -> int | None:
    """Of the first container, as upstream reads it."""
    status = next(iter(entries(leader.raw, "status", "containerStatuses")), {})
    ended = section(status, "state", "terminated") or section(status, "lastState", "terminated")
    return whole(ended, "exitCode")
