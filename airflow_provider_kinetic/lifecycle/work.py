"""What a task wants done, and the directory that it is done in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord
from airflow_provider_kinetic.model import names
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.base import Store


@dataclass(frozen=True)
class Work:
    """What a task wants done: the function with its arguments, and under which conditions."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    spec: JobSpec
    identity: TaskIdentity
    max_tries: int
    secrets: Mapping[str, str]
    output_dir: str | None = None
    """Given by the user; else it is derived from the identity."""


def output_directory(store: Store, target: Target, work: Work, record: SubmissionRecord) -> SubmissionRecord:
    """Choose the output directory of a submission that has none yet (``checkpointing`` 3.2).

    The task's own directory, so that whatever is there continues; a new generation of it when what is there has
    ended well, so that a clear of a finished training is a real rerun.
    """
    if record.output_dir:
        return record
    if work.output_dir is not None:
        return replace(record, output_dir=_given(work.output_dir, target.output_root))
    generation = record.generation
    while trial.completed(store, uri := names.output_dir(_root(target), work.identity, generation)):
        generation += 1
    return replace(record, output_dir=uri, generation=generation)


def _root(target: Target) -> str:
    """Several installations may share a bucket, with DAGs of the same names; this machine's folder is one's own."""
    shared = target.platform != "local" and target.installation
    return f"{target.output_root}/{names.slug(target.installation)}" if shared else target.output_root


def _given(output_dir: str, root: str) -> str:
    """A user's ``output_dir`` as URI of the platform's scheme; on this machine an absolute path will do."""
    scheme = root.partition("://")[0]
    on_this_machine = scheme == "file"
    if on_this_machine and output_dir.startswith("/"):
        output_dir = path_to_uri(output_dir)
    if output_dir.partition("://")[0] != scheme:
        path = "Pass an absolute path" if on_this_machine else f"Pass a URI that starts with {scheme}://"
        raise ConfigurationError(
            f"`output_dir` is {output_dir!r}, but this platform keeps outputs under {root!r}.",
            advice=f"{path}, or leave `output_dir` out.",
        )
    return names.check_length(output_dir.rstrip("/"), "output_dir")
