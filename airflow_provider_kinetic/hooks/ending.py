"""Ending jobs of tasks that are not at work any more: from the command line, and what gc has found."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_kinetic.clusters.base import JobSummary
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.cleanup import Halves, mark_of
from airflow_provider_kinetic.model.errors import JobConflict
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

PATIENCE = 15.0
"""Seconds beyond its grace period that is waited for a machine to end."""


def longest_wait(handle: JobHandle) -> float:
    """Seconds within which a machine that was told to end has ended."""
    return handle.stop_grace + PATIENCE


def status_of(hook: KineticHook, handle: JobHandle) -> JobStatus:
    """The job's status; of a job that is gone also that it was cancelled, and by whom."""
    found = hook.status(handle)
    if found.state is not JobState.NOT_FOUND or found.reason is not Reason.NONE:
        return found
    mark = mark_of(hook.ports.store, handle)
    if mark is None:
        return found
    return replace(found, reason=Reason.CANCELLED, message=f"Cancelled by {mark.get('by')} at {mark.get('at')}")


def clean(hook: KineticHook, handle: JobHandle, *, by: str, halves: Halves | None = None) -> None:
    """Clean up a job that is over, so that it stays known how it ended.

    :raises ConfigurationError: it still runs.
    """
    hook.cleanup(handle, by=by, halves=halves, known=status_of(hook, handle), force=False)


def end(hook: KineticHook, job: JobSummary, *, cancel: bool, by: str) -> bool:
    """Cancel a job of a listing, or only remove what it left.

    False when its machine has been told to end and has not ended yet: what it leaves can only be removed later.

    :raises JobNotFound: the store knows nothing of it.
    :raises JobConflict: the store knows that id as the name of another object, so a label lies.
    """
    handle = hook.attach(job.job_id)
    if handle.k8s_name != job.name or job.namespace not in ("", handle.namespace):
        raise JobConflict(
            f"The object {job.name} says that it is job {job.job_id}, which is {handle.k8s_name} in namespace "
            f"{handle.namespace}.",
            advice="Nothing was done. Find out who made the object.",
        )
    hook = KineticHook.of(handle, hook.kinetic_conn_id)
    if cancel and not hook.cancel(handle, by=by, wait=longest_wait(handle)):
        return False
    clean(hook, handle, by=by)
    return True
