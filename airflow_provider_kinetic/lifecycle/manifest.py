"""From a handle to the order that a cluster gets."""

from __future__ import annotations

import sys

from airflow_provider_kinetic.job import bootstrap, protocol
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model import accelerators
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.spec import JobSpec
from airflow_provider_kinetic.model.target import Target

ANNOTATION = "airflow-provider-kinetic"
DEADLINE_SLACK = 600.0
"""Seconds that the cluster's own deadline lies behind ours: it is a backstop for a dead observer."""


def annotations_of(work: Work, target: Target) -> dict[str, str]:
    """Who a job belongs to. Annotations hold any text, so the names stand there as they are."""
    identity = work.identity
    facts = {
        "installation": target.installation,
        "dag": identity.dag_id,
        "task": identity.task_id,
        "run": identity.run_id,
        "map-index": str(identity.map_index),
        "spec": work.spec.digest(),
    }
    return {f"{ANNOTATION}/{key}": value for key, value in facts.items()}


def manifest_of(target: Target, work: Work, handle: JobHandle, runner_sha256: str) -> JobManifest:
    """The manifest of a stored submission. It has constant size: payload and arguments are objects (contract 3.3)."""
    spec = work.spec
    arguments = {
        "--context-gcs": handle.artifact(protocol.CONTEXT),
        "--payload-gcs": handle.artifact(protocol.PAYLOAD),
        "--result-gcs": handle.artifact(protocol.RESULT),
        "--payload-sha256": str(handle.payload_sha256),
        "--context-sha256": str(handle.context_sha256),
    }
    argv = [item for pair in arguments.items() for item in pair]
    return JobManifest(
        name=handle.k8s_name,
        namespace=handle.namespace,
        job_id=handle.job_id,
        image=handle.image_uri,
        command=bootstrap.command(handle.artifact(protocol.RUNNER), handle.runner_sha256 or runner_sha256, argv),
        accelerator=spec.accelerator,
        spot=spec.spot,
        env=_environment(target, work, handle),
        labels={"app": "kinetic", "job-id": handle.job_id, **spec.labels},
        annotations=annotations_of(work, target),
        stop_grace=spec.stop_grace,
        active_deadline=_backstop(spec),
    )


def _environment(target: Target, work: Work, handle: JobHandle) -> dict[str, str]:
    spec, identity = work.spec, work.identity
    jax_platform = "cpu" if target.platform == "local" else accelerators.parse(spec.accelerator).jax_platform
    return {
        protocol.ENV_BACKEND: "jax",
        protocol.ENV_PLATFORM: jax_platform,
        protocol.ENV_JOB_ID: handle.job_id,
        protocol.ENV_BUCKET: handle.bucket_name,
        protocol.ENV_OUTPUT_DIR: str(handle.output_dir),
        protocol.ENV_PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}",
        protocol.ENV_RESULT_FORMAT: spec.result_format,
        protocol.ENV_MAX_PREEMPTIONS: str(spec.max_preemptions),
        protocol.ENV_STOP_GRACE: f"{spec.stop_grace:g}",
        protocol.ENV_DAG_ID: identity.dag_id,
        protocol.ENV_TASK_ID: identity.task_id,
        protocol.ENV_RUN_ID: identity.run_id,
        protocol.ENV_MAP_INDEX: str(identity.map_index),
    }


def _backstop(spec: JobSpec) -> float | None:
    if spec.startup_timeout is None or spec.run_timeout is None:
        return None
    return spec.startup_timeout + spec.run_timeout + DEADLINE_SLACK
