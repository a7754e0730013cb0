"""From what the cluster said to an error with a cause and an advice.

A pure function: the status and the last lines of output go in, the error comes out. It runs before
anything is deleted, so the message is still true when the evidence is gone.
"""

from __future__ import annotations

from airflow_provider_kinetic.model.errors import (
    ImageError,
    InfrastructureError,
    JobCancelled,
    JobEvicted,
    JobOutOfMemory,
    JobPreempted,
    JobTimeout,
    JobUnschedulable,
    JobVanished,
    KineticError,
    UserCodeError,
)
from airflow_provider_kinetic.model.handle import JobHandle
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
    Reason.DEADLINE: (JobTimeout, "Raise `run_timeout`, or let the function save checkpoints and resume on a retry."),
    Reason.UNSCHEDULABLE: (JobUnschedulable, "No machine offers this accelerator; check the node pools and quota."),
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
    kind, advice = _ERRORS.get(status.reason, (JobVanished, _ERRORS[Reason.VANISHED][1]))
    cause = status.message or f"state {status.state.value}, no reason given"
    preempted = f" It was preempted {status.preemptions}×." if status.preemptions else ""
    summary = f"Job {handle.job_id} ({handle.func_name}) failed: {cause.rstrip('.')}.{preempted}"
    return kind(summary + last_lines(output), advice=advice)


def timed_out(handle: JobHandle, what: str, seconds: float, *, cancelled: bool = True) -> JobTimeout:
    """The error for a passed deadline; ``what`` is the parameter that set it. ``cancelled``: the job ended with it."""
    advice = {
        "startup_timeout": "It never started: see its last status above. Raise `startup_timeout` if it only queued.",
        "run_timeout": "Raise `run_timeout`, or save checkpoints and set `retries`: a retry resumes from the last one.",
    }.get(what, f"Raise `{what}` of the task.")
    fate = "was cancelled" if cancelled else "goes on"
    return JobTimeout(f"The {what} of {seconds:g} s passed; job {handle.job_id} {fate}.", advice=advice)


def last_lines(output: str, lines: int = TAIL_LINES) -> str:
    """The end of ``output`` as an indented block under a heading; empty for no output."""
    kept = [line.rstrip() for line in output.splitlines() if line.strip()][-lines:]
    return "\n  last output:\n" + "\n".join(f"  | {line}" for line in kept) if kept else ""
