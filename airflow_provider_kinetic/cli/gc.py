"""``airflow kinetic gc``: ask the cluster and Airflow's database, let ``lifecycle.gc`` decide, and do it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.cli import description, task_instances
from airflow_provider_kinetic.cli.command import audited, tell
from airflow_provider_kinetic.cli.output import Row, show
from airflow_provider_kinetic.hooks.garbage import carry_out, judged
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.gc import Judged

BY = "airflow kinetic gc"

COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    "job": lambda row: row["job_id"],
    "state": lambda row: row["state"],
    "action": lambda row: row["action"],
    "outcome": lambda row: row["outcome"],
    "reason": lambda row: row["why"],
    "namespace": lambda row: row["namespace"],
    "dag": lambda row: row["dag_id"],
    "task": description.task_name,
    "run": lambda row: row["run_id"],
}


@audited
def gc(args: Namespace) -> None:
    """Show what is to be done with each job of the connection, and do it unless ``--dry-run``."""
    if args.namespace and args.all_namespaces:
        raise ConfigurationError(
            "`--namespace` and `--all-namespaces` cannot be used together.", advice="Leave one out."
        )
    hook = KineticHook(args.conn_id, overrides={"namespace": args.namespace})
    with task_instances.asked() as facts:
        plan = judged(hook, facts, older_than=args.older_than, everywhere=args.all_namespaces)
    if not args.dry_run:
        plan = carry_out(hook, plan, by=BY)
    show([row(each) for each in plan], args.output, COLUMNS)
    due = [each for each in plan if each.due]
    if args.dry_run and due:
        tell(f"{len(due)} of {len(plan)} jobs would be cancelled or removed. Nothing was done.")
    if any(each.failed for each in plan):
        raise SystemExit(1)


def row(each: Judged) -> Row:
    """A line of the listing; its keys are for scripts and stay."""
    decided = {"action": each.verdict.action.value, "why": each.verdict.reason, "outcome": each.outcome}
    return {**description.listed(each.job, None), **decided}
