"""From a job that is over to the value of a task."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.hooks.settings import load_settings
from airflow_provider_kinetic.job.plain import plain
from airflow_provider_kinetic.model.errors import KineticError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus
from airflow_provider_kinetic.operators.values import check_multiple_outputs, small


class Collecting(Protocol):
    """What is asked of the operator that collects."""

    do_xcom_push: bool
    multiple_outputs: bool
    trust_bucket: bool | None

    @property
    def log(self) -> Any: ...


def value_of(operator: Collecting, hook: KineticHook, handle: JobHandle, status: JobStatus) -> Any:
    """The value to push; None when nothing is pushed, and then nothing is downloaded.

    :raises KineticError: the job failed, or left no result object, wanted or not; the remote traceback is in the task
        log.
    """
    from airflow_provider_kinetic.lifecycle import collect

    entry = status.objects.get(handle.result_name, {})
    succeeded = status.state is JobState.SUCCEEDED
    if succeeded and not operator.do_xcom_push:
        collect.prove(hook.ports, handle, status)
        return None
    limit = load_settings().xcom_max_bytes
    multiple = bool(getattr(operator, "multiple_outputs", False))
    if succeeded and not multiple and (entry.get("json") is False or (entry.get("size") or 0) > 4 * limit):
        collect.prove(hook.ports, handle, status)
        return collect.reference(hook.ports.store, handle, status).to_dict()
    value = collected(operator.log, hook, handle, status, operator.trust_bucket)
    if not operator.do_xcom_push:
        return None
    if multiple:
        check_multiple_outputs(value, limit)
        return value
    if plain(value) and small(value, limit):
        return value
    return collect.reference(hook.ports.store, handle, status).to_dict()


def collected(
    log: Any, hook: KineticHook, handle: JobHandle, status: JobStatus, trust_bucket: bool | None = None
) -> Any:
    """The function's value; for a job that failed always an error, whose remote traceback is logged."""
    from airflow_provider_kinetic.lifecycle import collect

    try:
        value = collect.collect(hook.ports, handle, status, trust_bucket=trust_bucket)
    except KineticError as error:
        if error.remote_traceback:
            log.error("Traceback in the job:\n%s", error.remote_traceback.rstrip())
        raise
    if not status.objects.get(handle.result_name, {}).get("sha256"):
        log.warning("No digest of the result of job %s was reported: it was opened unchecked", handle.job_id)
    return value
