"""What there is to say about a job, as plain values: the page shows them, the API sends them as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.lifecycle.cleanup import mark_of
from airflow_provider_kinetic.model.diagnosis import diagnose
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason
from airflow_provider_kinetic.stores.base import Store

_RAISED = "The function raised: the logs have its traceback. Correct it, then clear the task."


@dataclass(frozen=True)
class AttemptView:
    """One start of the runner. Times are ISO 8601 in UTC; ``state`` is RUNNING, LOST or how it ended."""

    number: int
    job_id: str
    mine: bool
    """Of this job; others are of earlier jobs that wrote to the same output directory."""
    state: str
    started: str | None
    ended: str | None
    host: str | None
    resumed_from_step: int | None
    last_step: int | None
    error: str | None


@dataclass(frozen=True)
class JobView:
    """One job at one moment. Times are ISO 8601 in UTC."""

    job_id: str
    func_name: str
    state: str
    terminal: bool
    reason: str
    message: str
    advice: str
    exit_code: int | None
    preemptions: int
    max_preemptions: int | None
    stopping: bool
    created: str | None
    started: str | None
    finished: str | None
    platform: str | None
    accelerator: str
    image: str
    cluster: str
    namespace: str
    submitted_by: dict[str, Any]
    output_dir: str | None
    result_uri: str
    logs_uri: str | None
    digests: dict[str, str]
    attempts: list[AttemptView] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def look(handle: JobHandle) -> JobView:
    """Read everything about a job.

    :raises KineticError: store or cluster do not answer.
    """
    hook = KineticHook.of(handle)
    store = hook.ports.store
    starts = trial.attempts(store, handle.output_dir) if handle.output_dir else []
    status = _explained(store, handle, hook.status(handle))
    attempts = [_attempt(handle, status, start, newest=start is starts[-1]) for start in starts]
    return _view(handle, status, attempts)


def _view(handle: JobHandle, status: JobStatus, attempts: list[AttemptView]) -> JobView:
    raised = _raised(status, attempts)
    return JobView(
        job_id=handle.job_id,
        func_name=handle.func_name,
        state=status.state.value,
        terminal=status.state.terminal,
        reason=status.reason.value,
        message=raised or status.message,
        advice=_RAISED if raised else _advice(handle, status),
        exit_code=status.exit_code,
        preemptions=status.preemptions,
        max_preemptions=handle.max_preemptions,
        stopping=status.stopping,
        created=_iso(status.created_at) or handle.created_at,
        started=_iso(status.started_at),
        finished=_iso(status.finished_at),
        platform=handle.platform,
        accelerator=handle.accelerator,
        image=handle.image_uri,
        cluster=handle.cluster_name,
        namespace=handle.namespace,
        submitted_by={
            name: getattr(handle, name) for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")
        },
        output_dir=handle.output_dir,
        result_uri=handle.result_uri,
        logs_uri=handle.logs,
        digests=_digests(handle, status),
        attempts=attempts,
    )


def _explained(store: Store, handle: JobHandle, status: JobStatus) -> JobStatus:
    """A job that is not there any more: whether somebody cancelled it."""
    if status.state is not JobState.NOT_FOUND:
        return status
    mark = mark_of(store, handle)
    if mark is None:
        return status
    message = f"Cancelled ({mark.get('by')}, {mark.get('at')})."
    return replace(status, reason=Reason.CANCELLED, message=message)


def _raised(status: JobStatus, attempts: list[AttemptView]) -> str:
    """What the function raised, where that ended the job."""
    if status.reason is not Reason.USER_CODE or not attempts:
        return ""
    return attempts[-1].error or ""


def _advice(handle: JobHandle, status: JobStatus) -> str:
    if status.state not in (JobState.FAILED, JobState.NOT_FOUND):
        return ""
    return diagnose(handle, status).advice


def _attempt(handle: JobHandle, status: JobStatus, start: trial.Attempt, *, newest: bool) -> AttemptView:
    end: Mapping[str, Any] = start.end or {}
    mine = start.job_id == handle.job_id
    going = newest and mine and status.state is JobState.RUNNING
    return AttemptView(
        number=start.number,
        job_id=start.job_id,
        mine=mine,
        state=str(end.get("state") or ("RUNNING" if going else "LOST")),
        started=start.record.get("started"),
        ended=end.get("ended"),
        host=start.record.get("host"),
        resumed_from_step=_step(start.resumed_from),
        last_step=_step(end.get("checkpoint")),
        error=_error(end),
    )


def _step(checkpoint: Any) -> int | None:
    return checkpoint.get("step") if isinstance(checkpoint, Mapping) else None


def _error(end: Mapping[str, Any]) -> str | None:
    error = end.get("error")
    if isinstance(error, Mapping):
        return ": ".join(str(error[name]) for name in ("type", "text") if error.get(name))
    return str(end["reason"]) if end.get("reason") else None


def _digests(handle: JobHandle, status: JobStatus) -> dict[str, str]:
    known = {
        protocol.PAYLOAD: handle.payload_sha256,
        protocol.CONTEXT: handle.context_sha256,
        protocol.RUNNER: handle.runner_sha256,
        **{name: entry.get("sha256") for name, entry in status.objects.items()},
    }
    return {name: digest for name, digest in known.items() if digest}


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
