"""From what the cluster said to an error with a cause and an advice.

A pure function: the status and the last lines of output go in, the error comes out. It runs before
anything is deleted, so the message is still true when the evidence is gone.
"""

from __future__ import annotations

from airflow_provider_kinetic.model.errors import (
    ClusterError,
    ImageError,
    InfrastructureError,
    JobCancelled,
    JobEvicted,
    JobOutOfMemory,
    JobPreempted,
    JobStalled,
    JobTimeout,
    JobUnschedulable,
    JobVanished,
    KineticError,
    QuotaExceeded,
    UserCodeError,
)
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.kubernetes.advice import advice_of
from airflow_provider_kinetic.model.status import JobStatus, Reason

TAIL_LINES = 30

_ERRORS: dict[Reason, tuple[type[KineticError], str]] = {
    Reason.USER_CODE: (
        UserCodeError,
        "The function ended the process without reporting an exception (os._exit, a crash in native code). "
        "The last output below and the logs of the job show where.",
    ),
    Reason.KILLED: (
        InfrastructureError,
        "Something outside the job killed it. If it was out of memory, ask for a larger machine or a smaller batch.",
    ),
    Reason.OUT_OF_MEMORY: (JobOutOfMemory, "Ask for more memory or a smaller batch."),
    Reason.EVICTED: (JobEvicted, "The machine ran out of disk or memory; a retry runs elsewhere."),
    Reason.PREEMPTION_BUDGET: (
        JobPreempted,
        "Raise `max_preemptions`, save checkpoints more often, or run without `spot`.",
    ),
    Reason.STALLED: (
        JobStalled,
        "The job's output shows where each of its threads was. Set `retries`: a retry resumes from the last "
        "checkpoint. Raise `stall_timeout` if a step, an evaluation or the start just takes longer.",
    ),
    Reason.DEADLINE: (JobTimeout, "Raise `run_timeout`, or let the function save checkpoints and resume on a retry."),
    Reason.UNSCHEDULABLE: (JobUnschedulable, "No machine offers this accelerator; check the node pools and quota."),
    Reason.SCALING: (JobUnschedulable, "Raise `startup_timeout`: a machine was on its way."),
    Reason.QUOTA: (QuotaExceeded, "Wait for other jobs to end, or have the quota raised."),
    Reason.ADMISSION: (
        ClusterError,
        "A policy of the cluster refuses the pod. Ask whoever keeps it, or set what it wants with `pod_override`.",
    ),
    Reason.SERVICE_ACCOUNT: (ClusterError, "Make the service account, or set `service_account` in the connection."),
    Reason.CONTAINER: (
        ClusterError,
        "Check that the Secrets, keys and volumes that the job names exist in its namespace.",
    ),
    Reason.PREEMPTED: (
        JobPreempted,
        "Set `retries` on the task: a retry goes on from the last checkpoint. Tasks that work at the same time need a "
        "`trial` each: a newer one stops the older.",
    ),
    Reason.IMAGE: (ImageError, "Check `container_image` and that the job's service account may pull it."),
    Reason.VANISHED: (
        JobVanished,
        "Set `retries` on the task: a retry submits again and resumes from the last checkpoint.",
    ),
    Reason.CANCELLED: (JobCancelled, "Clear the task to run it again."),
}


def diagnose(handle: JobHandle, status: JobStatus, output: str = "") -> KineticError:
    """The error for a job that is over without a result.

    ``output`` is the job's last output; its last lines are shown in the summary.
    """
    kind, advice = _error(status.reason)
    cause = status.message or f"state {status.state.value}, no reason given"
    preempted = f" It was preempted {status.preemptions}×." if status.preemptions else ""
    summary = f"Job {handle.job_id} ({handle.func_name}) failed: {cause.rstrip('.')}.{preempted}"
    return kind(summary + last_lines(output), advice=advice_of(handle, status) or advice)


def advice(handle: JobHandle, status: JobStatus) -> str:
    """What to do about a job that waits, in one line; empty where there is nothing to do but to wait."""
    if status.reason in (Reason.NONE, Reason.QUEUED, Reason.STARTING, Reason.RESTARTING):
        return ""
    return advice_of(handle, status) or _error(status.reason)[1]


def _error(reason: Reason) -> tuple[type[KineticError], str]:
    return _ERRORS.get(reason, _ERRORS[Reason.VANISHED])


def timed_out(
    handle: JobHandle, what: str, seconds: float, *, cancelled: bool = True, status: JobStatus | None = None
) -> JobTimeout:
    """The error for a passed deadline; ``what`` is the parameter that set it. ``cancelled``: the job ended with it.

    ``status`` is the last one before it, for why the job did not start.
    """
    general = {
        "startup_timeout": "It never started: see its last status above. Raise `startup_timeout` if it only queued.",
        "run_timeout": "Raise `run_timeout`, or save checkpoints and set `retries`: a retry resumes from the last one.",
    }.get(what, f"Raise `{what}` of the task.")
    waited = f" It waited: {status.message}." if status and status.message and not status.started_at else ""
    remedy = advice(handle, status) if waited and status else ""
    fate = "was cancelled" if cancelled else "goes on"
    summary = f"The {what} of {seconds:g} s passed; job {handle.job_id} {fate}.{waited}"
    return JobTimeout(summary, advice=remedy or general)


def last_lines(output: str, lines: int = TAIL_LINES) -> str:
    """The end of ``output`` as an indented block under a heading; empty for no output."""
    kept = [line.rstrip() for line in output.splitlines() if line.strip()][-lines:]
    return "\n  last output:\n" + "\n".join(f"  | {line}" for line in kept) if kept else ""
