"""The parcel of one submission, made in a local folder before anything is sent.

Everything that can be wrong with the user's function, arguments or project shows here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.lifecycle.inputs import Shipped
from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.mounts import FuseMount
from airflow_provider_kinetic.model.parameters import PREBUILT
from airflow_provider_kinetic.model.spec import JobSpec
from airflow_provider_kinetic.packaging.artifact import Artifact
from airflow_provider_kinetic.packaging.context import write_context
from airflow_provider_kinetic.packaging.payload import Payload, write_payload
from airflow_provider_kinetic.packaging.plan import PackagingPlan, plan_for
from airflow_provider_kinetic.packaging.runner_bundle import RunnerBundle, build


@dataclass(frozen=True)
class Parcel:
    """Files with their digests. ``modules`` are those that were pickled by value, ``mounts`` what the call needs on its
    machine."""

    payload: Artifact
    context: Artifact
    runner: RunnerBundle
    modules: tuple[str, ...] = ()
    mounts: tuple[FuseMount, ...] = ()
    requirements: Artifact | None = None
    """What the job installs when it starts: in a prebuilt image, and only where anything is left to install."""


def pack(
    folder: Path,
    work: Work,
    record: SubmissionRecord,
    call: Shipped,
    warn: Callable[[str], None],
    *,
    exclude: Iterable[Path] = (),
) -> Parcel:
    """Write payload, context and runner under ``folder``; ``exclude`` names what is no part of the project.

    :raises SerializationError: names the function, argument or closure variable that cannot be pickled.
    """
    plan = plan_for(work.function)
    payload = _payload(folder, work, record, call, plan, warn)
    context = write_context(folder / protocol.CONTEXT, plan, exclude=exclude, warn=warn)
    return Parcel(
        payload.artifact,
        context,
        build(folder / protocol.RUNNER),
        payload.modules,
        call.mounts,
        _requirements(folder / protocol.REQUIREMENTS, work.spec),
    )


def _requirements(path: Path, spec: JobSpec) -> Artifact | None:
    if spec.container_image != PREBUILT or not (spec.requirements or "").strip():
        return None
    text = str(spec.requirements).encode()
    path.write_bytes(text)
    return Artifact(path, hashlib.sha256(text).hexdigest(), len(text))


def repack(parcel: Parcel, work: Work, record: SubmissionRecord, call: Shipped) -> Parcel:
    """The parcel with another call in the place of its own, of which all has been said that is worth saying."""
    payload = _payload(parcel.payload.path.parent, work, record, call, plan_for(work.function), lambda _: None)
    return replace(parcel, payload=payload.artifact, modules=payload.modules, mounts=call.mounts)


def _payload(
    folder: Path,
    work: Work,
    record: SubmissionRecord,
    call: Shipped,
    plan: PackagingPlan,
    warn: Callable[[str], None],
) -> Payload:
    return write_payload(
        folder / protocol.PAYLOAD,
        work.function,
        call.args,
        dict(call.kwargs),
        plan=plan,
        env_vars={**work.spec.env, protocol.ENV_OUTPUT_DIR: _as_libraries_open_it(record.output_dir)},
        warn=warn,
        has_references=call.has_references,
        volumes=call.volumes,
    )


def _as_libraries_open_it(output_dir: str) -> str:
    """What the function finds in its environment: Orbax and ``open`` take ``gs://`` or a plain path, not ``file://``."""
    return str(uri_to_path(output_dir)) if output_dir.startswith("file://") else output_dir
