"""Which trial a task works on: its rendered parameters and the run's conf, as one value."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.model.resume import ERROR, WARN, Resume, asked, policy_of

if TYPE_CHECKING:
    from airflow.sdk import Context

_OF_ITS_OWN = ("map_index", "op_args", "op_kwargs")


def names_its_index(template: Any) -> bool:
    """Whether a trial's template says by itself which of a mapped task's instances it is."""
    return isinstance(template, str) and "{" in template and any(word in template for word in _OF_ITS_OWN)


def resume_of(task: Any, context: Context, *, with_index: bool) -> Resume:
    """What the task asks for, in this run.

    :param with_index: a mapped task's index is appended to its trial's name.
    :raises ConfigurationError: names the parameter.
    """
    index = context["ti"].map_index
    mapped = index is not None and index >= 0
    said = asked(
        trial=task.trial,
        experiment=task.experiment,
        resume=policy_of(task.resume, context["dag_run"].conf or {}, task.task_id),
        restore_from=task.restore_from,
        on_mismatch=task.on_mismatch or (ERROR if mapped else WARN),
    )
    return replace(said, trial=f"{said.trial}-{index}") if said.trial and mapped and with_index else said
