"""``airflow kinetic gc``: ask the cluster and Airflow, let ``lifecycle.gc`` decide, and do it."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.cli import description, task_instances
from airflow_provider_kinetic.cli.command import audited, tell
from airflow_provider_kinetic.cli.ending import clean, longest_wait
from airflow_provider_kinetic.cli.output import Row, show
from airflow_provider_kinetic.hooks.installation import installation_id
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.gc import Action, Verdict, judge, ours, owner
from airflow_provider_kinetic.model.errors import KineticError

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.base import JobSummary

BY = "airflow kinetic gc"
AT_ONCE = 8
"""Jobs that are ended at one time: each may take its grace period."""

_DONE = {Action.CANCEL: "cancelled", Action.REMOVE: "removed"}

COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    "job": lambda row: row["job_id"],
    "state": lambda row: row["state"],
    "action": lambda row: row["action"],
    "outcome": lambda row: row["outcome"],
    "reason": lambda row: row["why"],
    "dag": lambda row: row["dag_id"],
    "task": description.task_name,
    "run": lambda row: row["run_id"],
}


@dataclass(frozen=True)
class Judged:
    """A job, what is to be done with it, and, once it was tried, how that went."""

    job: JobSummary
    verdict: Verdict
    outcome: str | None = None
    failed: bool = False

    @property
    def row(self) -> Row:
        decided = {"action": self.verdict.action.value, "why": self.verdict.reason, "outcome": self.outcome}
        return {**description.listed(self.job, None), **decided}


@audited
def gc(args: Namespace) -> None:
    """Show what is to be done with each job of the connection, and do it unless ``--dry-run``."""
    hook = KineticHook(args.conn_id, overrides={"namespace": args.namespace})
    judged = [Judged(job, verdict) for job, verdict in _judge_all(hook.list(), args.older_than)]
    if not args.dry_run:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            judged = list(pool.map(lambda each: _carry_out(hook, each), judged))
    show([each.row for each in judged], args.output, COLUMNS)
    due = [each for each in judged if each.verdict.action in _DONE]
    if args.dry_run and due:
        tell(f"{len(due)} of {len(judged)} jobs would be cancelled or removed. Nothing was done.")
    if any(each.failed for each in judged):
        raise SystemExit(1)


def _judge_all(jobs: list[JobSummary], older_than: float) -> list[tuple[JobSummary, Verdict]]:
    installation, now = installation_id(), time.time()
    asked = [job for job in jobs if ours(job, installation)]
    known: dict[str, Any] = {}
    if asked:
        with task_instances.database() as session:
            known = {job.name: task_instances.facts(session, identity) for job in asked if (identity := owner(job))}
    return [
        (job, judge(job, installation, known.get(job.name), older_than=older_than, now=job.status.server_time or now))
        for job in jobs
    ]


def _carry_out(hook: KineticHook, judged: Judged) -> Judged:
    """A failure is reported and leaves the others alone; the next run tries again."""
    job, verdict = judged.job, judged.verdict
    if verdict.action not in _DONE:
        return judged
    try:
        _end(hook, job.job_id, cancel=verdict.action is Action.CANCEL)
    except KineticError as error:
        return replace(judged, outcome=f"failed: {error.summary}", failed=True)
    return replace(judged, outcome=_DONE[verdict.action])


def _end(hook: KineticHook, job_id: str, *, cancel: bool) -> None:
    handle = hook.attach(job_id)
    hook = KineticHook.of(handle, hook.kinetic_conn_id)
    if cancel:
        hook.cancel(handle, by=BY, wait=longest_wait(handle))
    clean(hook, handle, by=BY)
