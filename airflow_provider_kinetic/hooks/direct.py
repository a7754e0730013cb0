"""Submitting from a hook: a function and the pieces of its spec, with or without a task behind it.

Without one the job has an identity of its own and carries no installation: no Airflow task stands for it, so
``airflow kinetic gc``, which ends jobs whose task is gone, must leave it to whoever submitted it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from airflow_provider_kinetic.hooks.arguments import plain_call
from airflow_provider_kinetic.hooks.settings import load_settings
from airflow_provider_kinetic.lifecycle.arguments import Arguments
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.submission import Journal, SubmissionRecord
from airflow_provider_kinetic.lifecycle.submit import ensure
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model import names, parameters
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.resume import Resume
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.target import Target

NOBODY = "no-dag"
"""Stands for the DAG of a job that no task submitted: its outputs lie below it."""
_PARAMETERS = {"env": "env_vars", "queue": "queue_name"}
"""Pieces of the spec whose parameter of an operator has another name."""


@dataclass
class MemoryJournal:
    """Forgets with the process: every call of :func:`submit` is another job."""

    record: SubmissionRecord | None = None

    def load(self) -> SubmissionRecord | None:
        return self.record

    def save(self, record: SubmissionRecord) -> None:
        self.record = record


@dataclass(frozen=True)
class Order:
    """What is to be submitted."""

    function: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    spec: Mapping[str, Any] | None = None
    """Fields of :class:`~airflow_provider_kinetic.model.spec.JobSpec`."""
    secrets: Mapping[str, str] | None = None
    output_dir: str | None = None
    identity: TaskIdentity | None = None
    max_tries: int = 0
    resume: Resume = field(default_factory=Resume)


def submit(
    ports: Ports, target: Target, order: Order, journal: Journal | None, say: Callable[[str], None]
) -> JobHandle:
    """See :meth:`airflow_provider_kinetic.hooks.kinetic.KineticHook.submit`."""
    spec = _spec(order)
    given = {_PARAMETERS.get(name, name): value for name, value in (order.spec or {}).items()}
    for warning in parameters.check(target, {"accelerator": spec.accelerator, **given}):
        say(warning)
    args, kwargs = plain_call(order.args, order.kwargs or {})
    work = Work(
        function=order.function,
        args=args,
        kwargs=kwargs,
        spec=spec,
        identity=order.identity or TaskIdentity(NOBODY, spec.func_name, names.new_nonce()),
        max_tries=order.max_tries,
        secrets=dict(order.secrets or {}),
        output_dir=order.output_dir,
        resume=order.resume,
        arguments=Arguments.of(order.function, args, kwargs),
    )
    owned = target if order.identity else replace(target, installation="")
    return ensure(ports, owned, work, journal or MemoryJournal(), say).handle


def _spec(order: Order) -> JobSpec:
    """:raises ConfigurationError: a piece that no spec has."""
    known = {each.name for each in fields(JobSpec)} - {"func_name"}
    for name in order.spec or {}:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            raise ConfigurationError(f"A job has no {name!r}.", advice=f"{hint}There are: {', '.join(sorted(known))}.")
    settings = load_settings()
    usual = {
        name: getattr(settings, name) for name in ("startup_timeout", "run_timeout", "stop_grace", "max_preemptions")
    }
    function_name = getattr(order.function, "__name__", type(order.function).__name__)
    return JobSpec(func_name=function_name, **{**usual, **(order.spec or {})})
