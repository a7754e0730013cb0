"""Jobs, pods and events as a real API server writes them, for tables of tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_kinetic.model.kubernetes.status import status_of
from airflow_provider_kinetic.model.status import JobStatus

JOB = "kinetic-job-0123abcd"
NOW = datetime(2026, 8, 20, 12, 30, tzinfo=UTC).timestamp()


def at(minute: int) -> str:
    return f"2026-08-20T12:{minute:02}:00Z"


def unix(minute: int) -> float:
    return datetime(2026, 8, 20, 12, minute, tzinfo=UTC).timestamp()


def a_job(status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    worker = {"name": "kinetic-worker", "env": [{"name": "KINETIC_MAX_PREEMPTIONS", "value": "10"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": JOB, "uid": "6c1a", "creationTimestamp": at(0), **metadata},
        "spec": {"backoffLimit": 0, "template": {"spec": {"containers": [worker]}}, **(spec or {})},
        "status": {"startTime": at(0), **(status or {})},
    }


def condition(kind: str, reason: str = "", message: str = "", status: str = "True", minute: int = 20) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(minute)}


def failed(reason: str = "BackoffLimitExceeded", message: str = "Job has reached the specified backoff limit") -> Any:
    return a_job(
        {"failed": 1, "conditions": [condition("FailureTarget", reason), condition("Failed", reason, message)]}
    )


def a_pod(
    phase: str = "Pending",
    state: dict[str, Any] | None = None,
    *,
    suffix: str = "x7k2p",
    minute: int = 1,
    conditions: list[dict[str, str]] | None = None,
    limits: dict[str, str] | None = None,
    selector: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    containers = [{"name": "kinetic-worker", "image": "any/uri:1", "resources": {"limits": limits or {}}}]
    running = [{"name": "kinetic-worker", "image": "any/uri:1", "state": state}] if state else []
    return {
        "metadata": {"name": f"{JOB}-{suffix}", "creationTimestamp": at(minute), **(metadata or {})},
        "spec": {"nodeName": "gke-pool-1", "containers": containers, "nodeSelector": selector or {}},
        "status": {"phase": phase, "conditions": conditions or [], "containerStatuses": running, **status},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def running(minute: int = 3) -> dict[str, Any]:
    return {"running": {"startedAt": at(minute)}}


def terminated(code: int, reason: str = "Error", message: str = "", minute: int = 3) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason, "startedAt": at(minute), "finishedAt": at(minute + 5)}
    return {"terminated": {**ended, "message": message}}


def an_event(
    reason: str, message: str, pod: str | None = None, minute: int = 5, kind: str = "Warning"
) -> dict[str, Any]:
    about = {"kind": "Pod", "name": f"{JOB}-{pod}"} if pod else {"kind": "Job", "name": JOB}
    return {"involvedObject": about, "reason": reason, "message": message, "type": kind, "lastTimestamp": at(minute)}


def disrupted(
    by: str = "DeletionByTaintManager", suffix: str = "aaaaa", minute: int = 1, why: str = "", message: str = ""
) -> dict[str, Any]:
    return a_pod(
        "Failed",
        terminated(143, minute=minute + 1),
        suffix=suffix,
        minute=minute,
        conditions=[condition("DisruptionTarget", by)],
        reason=why,
        message=message,
    )


def observe(job: Any, pods: Any = (), events: Any = ()) -> JobStatus:
    return status_of(job, pods, events, server_time=NOW)
