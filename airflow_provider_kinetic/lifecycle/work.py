"""What a task wants done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kinetic.lifecycle.arguments import Arguments
from airflow_provider_kinetic.model.resume import Resume
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity


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
    """Given by the user; else it is derived from the trial's name or the identity."""
    resume: Resume = field(default_factory=Resume)
    arguments: Arguments = field(default_factory=Arguments)
    """For the trial's records."""
    shown: Collection[str] = ()
    """Names of secrets whose values may stand in the job's log."""

    @property
    def experiment(self) -> str:
        """What the trial is one of: the task over all its runs, unless the user says otherwise."""
        return self.resume.experiment or f"{self.identity.dag_id}/{self.identity.task_id}"

    @property
    def trial(self) -> str:
        """The trial's name; that of a task instance is its run."""
        identity = self.identity
        own = identity.run_id if identity.map_index < 0 else f"{identity.run_id}/{identity.map_index}"
        return self.resume.trial or own
