"""Naming a job that another task, run or client submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.model.handle import JobHandle


def job_of(job: Mapping[str, Any] | str | None, job_id: str | None, kinetic_conn_id: str) -> JobHandle:
    """The handle behind ``job=`` (the ``kinetic_job`` XCom, or an id) or ``job_id=``.

    :raises ConfigurationError: neither was given, or both.
    :raises JobNotFound: no job of that id.
    """
    from airflow_provider_kinetic.model.handle import JobHandle

    if (job is None) == (job_id is None):
        raise ConfigurationError(
            "Exactly one of `job` and `job_id` must be given.",
            advice="Pass `job=` the `kinetic_job` XCom of the submitting task, or `job_id=` an id.",
        )
    if isinstance(job, Mapping):
        return JobHandle.from_dict(job)
    return KineticHook(kinetic_conn_id).attach(str(job_id or job))
