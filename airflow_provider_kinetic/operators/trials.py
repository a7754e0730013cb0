"""Which trial a task works on: its rendered parameters and the run's conf, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.model.resume import CONF_KEY, ERROR, WARN, Resume, asked, policy_of

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
    conf = context["dag_run"].conf or {}
    _warn_of_strangers(task, conf)
    said = asked(
        trial=task.trial,
        experiment=task.experiment,
        resume=policy_of(task.resume, conf, task.task_id),
        restore_from=task.restore_from,
        on_mismatch=task.on_mismatch or (ERROR if mapped else WARN),
    )
    return replace(said, trial=f"{said.trial}-{index}") if said.trial and mapped and with_index else said


def _warn_of_strangers(task: Any, conf: Mapping[str, Any]) -> None:
    """A conf that is passed on may be meant for several DAGs, so a name that this one lacks is no error."""
    said, dag = conf.get(CONF_KEY), task.get_dag()
    if isinstance(said, Mapping) and dag is not None and (strangers := sorted({*said} - {*dag.task_ids})):
        names = ", ".join(map(repr, strangers))
        task.log.warning("`%s` in the run's conf names %s: the DAG %s has no such task", CONF_KEY, names, dag.dag_id)
