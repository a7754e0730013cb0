"""From a handle to the order that a cluster gets, checked before anything is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.job import bootstrap, protocol
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model import accelerators
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.kubernetes.environment import check_variables
from airflow_provider_kinetic.model.kubernetes.hosts import check_single_host
from airflow_provider_kinetic.model.kubernetes.job import default_service_account, render
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.spec import JobSpec
from airflow_provider_kinetic.model.target import Target

ANNOTATION = "airflow-provider-kinetic"
DEADLINE_SLACK = 600.0
"""Seconds that the cluster's own deadline lies behind ours: it is a backstop for a dead observer."""


def annotations_of(work: Work, target: Target) -> dict[str, str]:
    """Who a job belongs to, whichever try submitted it. Annotations hold any text, so names stand as they are."""
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


def manifest_of(target: Target, work: Work, handle: JobHandle) -> JobManifest:
    """The manifest of a submission. It has constant size: payload and arguments are objects (contract 3.3)."""
    spec = work.spec
    arguments = {
        "--context-gcs": handle.artifact(protocol.CONTEXT),
        "--payload-gcs": handle.artifact(protocol.PAYLOAD),
        "--result-gcs": handle.artifact(protocol.RESULT),
        "--payload-sha256": str(handle.payload_sha256),
        "--context-sha256": str(handle.context_sha256),
    }
    if handle.requirements_sha256:
        arguments["--requirements-gcs"] = handle.artifact(protocol.REQUIREMENTS)
        arguments["--requirements-sha256"] = handle.requirements_sha256
    argv = [item for pair in arguments.items() for item in pair]
    return JobManifest(
        name=handle.k8s_name,
        namespace=handle.namespace,
        job_id=handle.job_id,
        image=handle.image_uri,
        command=bootstrap.command(handle.artifact(protocol.RUNNER), str(handle.runner_sha256), argv),
        accelerator=spec.accelerator,
        spot=spec.spot,
        env=_environment(target, work, handle),
        labels={**spec.labels, "app": "kinetic", "job-id": handle.job_id},
        annotations={**annotations_of(work, target), f"{ANNOTATION}/try": str(work.identity.try_number)},
        stop_grace=spec.stop_grace,
        active_deadline=_backstop(spec),
        **_of_a_cluster(target, spec, handle),
    )


def _of_a_cluster(target: Target, spec: JobSpec, handle: JobHandle) -> dict[str, Any]:
    """What this machine has no counterpart of."""
    if target.platform == "local":
        return {}
    return {
        "service_account": spec.service_account or target.service_account or default_service_account(target.platform),
        "priority_class": spec.priority_class,
        "queue": spec.queue or target.queue,
        "requests": spec.requests,
        "secret_env": spec.secret_env,
        "pod_override": spec.pod_override,
        "fuse_mounts": handle.fuse_mounts,
    }


def check(target: Target, work: Work, manifest: JobManifest) -> None:
    """Find what the cluster would refuse, or could not start, while nothing has been sent.

    :raises ConfigurationError: labels, variables, requests, names or ``pod_override``; a job on several hosts.
    """
    if target.platform == "local":
        return
    check_single_host(accelerators.parse(work.spec.accelerator), work.spec.backend)
    check_variables(work.secrets, "secrets")
    render(manifest, has_secrets=bool(work.secrets))


def _environment(target: Target, work: Work, handle: JobHandle) -> dict[str, str]:
    """Variables that are there before Python is. A cluster's container gets the task's own too: some are read by
    libraries while they load, or by the bootstrap; the payload has them all for whatever the runner sets."""
    spec, identity = work.spec, work.identity
    jax_platform = "cpu" if target.platform == "local" else accelerators.parse(spec.accelerator).jax_platform
    given: Mapping[str, str] = {} if target.platform == "local" else spec.env
    return {
        **given,
        protocol.ENV_BACKEND: "jax",
        protocol.ENV_PLATFORM: jax_platform,
        protocol.ENV_JOB_ID: handle.job_id,
        protocol.ENV_BUCKET: handle.bucket_name,
        protocol.ENV_OUTPUT_DIR: str(handle.output_dir),
        protocol.ENV_PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}",
        protocol.ENV_RESULT_FORMAT: spec.result_format,
        protocol.ENV_MAX_PREEMPTIONS: str(spec.max_preemptions),
        protocol.ENV_STOP_GRACE: f"{spec.stop_grace:g}",
        **({protocol.ENV_STALL_TIMEOUT: f"{spec.stall_timeout:g}"} if spec.stall_timeout else {}),
        protocol.ENV_DAG_ID: identity.dag_id,
        protocol.ENV_TASK_ID: identity.task_id,
        protocol.ENV_RUN_ID: identity.run_id,
        protocol.ENV_MAP_INDEX: str(identity.map_index),
        protocol.ENV_TRIAL: _trial(work),
        **_masked(work),
        **({protocol.ENV_RESTORE_FROM: work.resume.restore_from} if work.resume.restore_from else {}),
    }


def _masked(work: Work) -> dict[str, str]:
    """Names are no secrets, and stand in the manifest anyway or in the Secret's keys."""
    names = sorted({*work.secrets, *work.spec.secret_env}.difference(work.shown))
    return {protocol.ENV_MASKED: " ".join(names)} if names else {}


def _trial(work: Work) -> str:
    """Facts for the trial's records."""
    facts = {
        "experiment": work.experiment,
        "trial": work.trial,
        "args": dict(work.arguments.values),
        "args_digest": work.arguments.digest,
    }
    return json.dumps(facts)


def _backstop(spec: JobSpec) -> float | None:
    if spec.startup_timeout is None or spec.run_timeout is None:
        return None
    return spec.startup_timeout + spec.run_timeout + DEADLINE_SLACK
