"""End the jobs that no task of this Airflow wants any more, every day.

The same as ``airflow kinetic gc``, for deployments in which nobody has a shell with Airflow's database. Scheduled runs
do it; trigger it once with ``dry_run`` to see in the task's log what it would do, and why. Jobs of other installations
and of upstream's own client are listed and never touched, and what is not known for sure is kept.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowException

DAY = 86_400.0


@task
def end_unwanted_jobs(*, params: Any = None) -> list[dict[str, str | None]]:
    """What was decided about each job, and how it went."""
    from airflow_provider_kinetic.hooks.garbage import carry_out, judged, line
    from airflow_provider_kinetic.hooks.kinetic import KineticHook
    from airflow_provider_kinetic.hooks.task_facts import facts

    hook = KineticHook(params["kinetic_conn_id"])
    plan = judged(hook, facts, older_than=params["older_than_days"] * DAY, everywhere=params["all_namespaces"])
    if not params["dry_run"]:
        plan = carry_out(hook, plan, by="the DAG kinetic_gc")
    for each in plan:
        print(line(each))
    due, failed = sum(each.due for each in plan), sum(each.failed for each in plan)
    print(f"{due} of {len(plan)} jobs are unwanted." + (" Nothing was done: dry_run." if params["dry_run"] else ""))
    if failed:
        raise AirflowException(f"{failed} unwanted jobs could not be ended: see above. The next run tries again.")
    return [{"job_id": each.job.job_id, "action": each.verdict.action.value, "outcome": each.outcome} for each in plan]


@dag(
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    params={
        "dry_run": Param(False, type="boolean", description="Only show what would be done, and why"),
        "older_than_days": Param(7, type="number", minimum=0, description="Jobs that are over are kept so long"),
        "all_namespaces": Param(False, type="boolean", description="Wherever the connection may list jobs"),
        "kinetic_conn_id": Param("kinetic_default", type="string"),
    },
    tags=["kinetic"],
)
def kinetic_gc() -> None:
    end_unwanted_jobs()


kinetic_gc()
