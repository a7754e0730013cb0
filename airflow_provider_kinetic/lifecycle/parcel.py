"""The parcel of one submission, made in a local folder before anything is sent.

Everything that can be wrong with the user's function, arguments or project shows here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.packaging.artifact import Artifact
from airflow_provider_kinetic.packaging.context import write_context
from airflow_provider_kinetic.packaging.payload import write_payload
from airflow_provider_kinetic.packaging.plan import plan_for
from airflow_provider_kinetic.packaging.runner_bundle import RunnerBundle, build


@dataclass(frozen=True)
class Parcel:
    """Three files with their digests. ``modules`` are those that were pickled by value."""

    payload: Artifact
    context: Artifact
    runner: RunnerBundle
    modules: tuple[str, ...] = ()


def pack(
    folder: Path, work: Work, record: SubmissionRecord, warn: Callable[[str], None], *, exclude: Iterable[Path] = ()
) -> Parcel:
    """Write payload, context and runner under ``folder``; ``exclude`` names what is no part of the project.

    :raises SerializationError: names the function, argument or closure variable that cannot be pickled.
    """
    plan = plan_for(work.function)
    payload = write_payload(
        folder / protocol.PAYLOAD,
        work.function,
        work.args,
        dict(work.kwargs),
        plan=plan,
        env_vars={**work.spec.env, protocol.ENV_OUTPUT_DIR: _as_libraries_open_it(record.output_dir)},
        warn=warn,
    )
    context = write_context(folder / protocol.CONTEXT, plan, exclude=exclude, warn=warn)
    return Parcel(payload.artifact, context, build(folder / protocol.RUNNER), payload.modules)


def _as_libraries_open_it(output_dir: str) -> str:
    """What the function finds in its environment: Orbax and ``open`` take ``gs://`` or a plain path, not ``file://``."""
    return str(uri_to_path(output_dir)) if output_dir.startswith("file://") else output_dir
