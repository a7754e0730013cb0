"""What the running task instance is: read from the context once, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.images import Build, Image
    from airflow_provider_kinetic.model.spec import TaskIdentity

XCOM_HANDLE = "kinetic_job"
XCOM_JOB_ID = "job_id"
XCOM_RESULT_URI = "result_uri"
XCOM_OUTPUT_DIR = "output_dir"
XCOM_IMAGE = "image"
XCOM_BUILD = "kinetic_build"
XCOM_BUILD_ID = "build_id"
XCOM_LOG_URL = "log_url"
XCOM_CACHED = "cached"
XCOM_LOG_CURSOR = "kinetic_log_cursor"


def identity_of(context: Context) -> TaskIdentity:
    from airflow_provider_kinetic.model.spec import TaskIdentity

    ti = context["ti"]
    return TaskIdentity(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
    )


def push_handle(context: Context, handle: JobHandle) -> None:
    """Push what other tasks, links and the trigger's guard read."""
    ti = context["ti"]
    values: dict[str, Any] = {
        XCOM_HANDLE: handle.to_dict(),
        XCOM_JOB_ID: handle.job_id,
        XCOM_RESULT_URI: handle.result_uri,
        XCOM_OUTPUT_DIR: handle.output_dir,
        XCOM_IMAGE: handle.image_uri or None,
    }
    for key, value in values.items():
        if value is not None:
            ti.xcom_push(key=key, value=value)


def push_build(context: Context, build: Build) -> None:
    """Push what the trigger's guard, links and people read of a build that was demanded."""
    ti = context["ti"]
    for key, value in {XCOM_BUILD: build.to_dict(), XCOM_BUILD_ID: build.id, XCOM_LOG_URL: build.log_url}.items():
        ti.xcom_push(key=key, value=value)


def push_image(context: Context, image: Image) -> None:
    """Push how a task came by its image: found or built, and by which build."""
    ti = context["ti"]
    for key, value in {XCOM_CACHED: image.cached, XCOM_BUILD_ID: image.build_id, XCOM_LOG_URL: image.log_url}.items():
        ti.xcom_push(key=key, value=value)


def cursor_of(found: Any, job_id: str) -> str:
    """Of the XCom in which a trigger says up to where it showed the job's output; empty where it is about none or
    another job.
    """
    return str(found.get("cursor", "")) if isinstance(found, dict) and found.get("job_id") == job_id else ""


def describe(context: Context) -> str:
    """Who acts, for marks that are left behind: ``dag.task run try``."""
    identity = identity_of(context)
    index = f"[{identity.map_index}]" if identity.map_index >= 0 else ""
    return f"{identity.dag_id}.{identity.task_id}{index} {identity.run_id} try {identity.try_number}"
