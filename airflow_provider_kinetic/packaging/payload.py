"""The function and its arguments as one pickle that a bare interpreter can open.

What the user wrote goes by value (``modules``). What belongs to Airflow stays here: decorated tasks are sent as the
plain functions that they wrap, lazy XCom sequences as lists, and annotations that name Airflow types not at all. The
pickle is made once and streamed to the disk through a digest; a large argument is never in memory twice.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import airflow_provider_kinetic
from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.packaging.artifact import Artifact, Warn, megabytes, warn_limit, writing
from airflow_provider_kinetic.packaging.modules import by_value_modules, pickled_by_value
from airflow_provider_kinetic.packaging.plan import PackagingPlan

ENV_WARN = "KINETIC_PAYLOAD_SIZE_WARN_MB"


@dataclass(frozen=True)
class Payload:
    """A finished payload. ``modules`` names the user's modules of which something was sent by value."""

    artifact: Artifact
    modules: tuple[str, ...]


def write_payload(
    path: Path,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    plan: PackagingPlan,
    env_vars: Mapping[str, str],
    warn: Warn,
    environ: Mapping[str, str] | None = None,
    has_references: bool = False,
    volumes: Sequence[DataReference] = (),
) -> Payload:
    """Pickle one call into ``path`` (contract 6.1). Secrets do not belong into ``env_vars``.

    :param has_references: whether the job has to look for references to data among the arguments.
    :param volumes: data that the job finds at paths of its own.

    :raises SerializationError: something cannot be pickled; the error names it and its cause is the pickler's error.
    :raises InfrastructureError: the disk refused.
    """
    from airflow_provider_kinetic.packaging.pickling import ParcelPickler
    from airflow_provider_kinetic.packaging.unpicklable import explain

    environ = os.environ if environ is None else environ
    content = _content(func, args, kwargs, plan, env_vars)
    content["has_data_refs"] = has_references
    if volumes:
        content["volumes"] = [reference.to_wire() for reference in volumes]
    allowed = by_value_modules(plan, func)
    with pickled_by_value(allowed), writing(path) as stream:
        pickler = ParcelPickler(stream)
        try:
            pickler.dump(content)
        except Exception as failure:
            if stream.failure:
                raise
            raise explain(func, args, kwargs, failure) from failure
    artifact = stream.artifact(path)
    if pickler.airflow_names:
        warn(
            f"The function refers to {', '.join(sorted(pickler.airflow_names))}: the job can only open it where "
            "Airflow is installed. Import what belongs to Airflow inside of functions that stay here."
        )
    if pickler.data:
        warn(
            f"The function holds Data outside of its arguments ({', '.join(sorted(pickler.data))}): the job gets the "
            "value and not the files. Pass Data as an argument, or in `volumes`."
        )
    if artifact.size > warn_limit(ENV_WARN, 50, environ=environ, warn=warn):
        warn(
            f"The payload is {megabytes(artifact.size)}. Large arguments travel better as files in the object store. "
            f"{ENV_WARN} sets this limit."
        )
    return Payload(artifact, tuple(sorted(pickler.modules & {module.__name__ for module in allowed})))


def _content(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    plan: PackagingPlan,
    env_vars: Mapping[str, str],
) -> dict[str, Any]:
    import cloudpickle

    wire = plan.wire()
    return {
        "func": func,
        "args": tuple(args),
        "kwargs": dict(kwargs),
        "env_vars": dict(env_vars),
        "client_fingerprint": {
            "python": platform.python_version(),
            "cloudpickle": cloudpickle.__version__,
            "kinetic": airflow_provider_kinetic.__version__,
        },
        "working_dir": str(plan.code_folder),
        **wire,
    }
