"""Finding and ending the jobs of a connection that nobody wants any more.

One implementation for ``airflow kinetic gc``, which asks Airflow's database, and for a DAG, whose tasks have none and
ask the Execution API (``hooks.task_facts``).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_kinetic.hooks.ending import end
from airflow_provider_kinetic.hooks.installation import installation_id
from airflow_provider_kinetic.lifecycle.gc import Action, judge_all, owner
from airflow_provider_kinetic.model.errors import KineticError

if TYPE_CHECKING:
    from airflow_provider_kinetic.hooks.kinetic import KineticHook
    from airflow_provider_kinetic.lifecycle.gc import Facts, Judged

AT_ONCE = 8
"""Jobs that are ended at one time: each may take its grace period."""

_STOPPING = "still being stopped, the next gc cleans it"
_DONE = {Action.CANCEL: "cancelled", Action.REMOVE: "removed"}


def judged(hook: KineticHook, facts: Facts, *, older_than: float, everywhere: bool = False) -> list[Judged]:
    """What is to be done with each job of the connection.

    :param older_than: seconds since its end for which a job that is over is kept.
    :param everywhere: in all namespaces that the connection may see, not in its own alone.
    """
    jobs = hook.ports.cluster.list(everywhere=everywhere)
    places = ("", hook.target.namespace)
    chosen = [job for job in jobs if everywhere or job.namespace in places]
    return judge_all(chosen, installation_id(), facts, older_than=older_than, now=time.time())


def line(each: Judged) -> str:
    """For a log: what is done with a job, and why."""
    job, task = each.job, owner(each.job)
    place = f" of {task.dag_id}.{task.task_id} in {task.run_id}" if task else ""
    done = f" [{each.outcome}]" if each.outcome else ""
    return f"{each.verdict.action.value}: {job.job_id}{place}, {job.status.state.value}: {each.verdict.reason}{done}"


def carry_out(hook: KineticHook, plan: list[Judged], *, by: str) -> list[Judged]:
    """Do it. A failure is reported and leaves the others alone; the next run tries again."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(partial(_carry_out, hook, by), plan))


def _carry_out(hook: KineticHook, by: str, each: Judged) -> Judged:
    if not each.due:
        return each
    try:
        over = end(hook, each.job, cancel=each.verdict.action is Action.CANCEL, by=by)
    except KineticError as error:
        return replace(each, outcome=f"failed: {error.summary}", failed=True)
    return replace(each, outcome=_DONE[each.verdict.action] if over else _STOPPING)
