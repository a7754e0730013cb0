"""``airflow kinetic jobs …``: one function a command."""

from __future__ import annotations

import builtins
import json
import sys
import time
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.cli import description
from airflow_provider_kinetic.cli.command import actor, audited, command, open_job, tell
from airflow_provider_kinetic.cli.output import show, show_one
from airflow_provider_kinetic.hooks.ending import clean, longest_wait, status_of
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import ConfigurationError, KineticError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobStatus

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.base import JobSummary

FOLLOW_POLL = 1.0
"""Seconds between two looks of ``logs --follow``."""

_READERS = 8


@command
def list(args: Namespace) -> None:
    """The live jobs of a connection."""
    hook = KineticHook(args.conn_id, overrides={"namespace": args.namespace})
    jobs = hook.list()
    with ThreadPoolExecutor(_READERS) as readers:
        handles = builtins.list(readers.map(lambda job: _handle_of(hook, job), jobs))
    rows = [
        description.listed(job, handle)
        for job, handle in zip(jobs, handles, strict=True)
        if handle is None or handle.namespace == hook.target.namespace
    ]
    show(rows, args.output, description.LIST_COLUMNS)


def _handle_of(hook: KineticHook, job: JobSummary) -> JobHandle | None:
    try:
        return hook.attach(job.job_id)
    except KineticError:
        return None  # what the cluster says of the job is worth showing without it


@command
def status(args: Namespace) -> None:
    """How one job is."""
    hook, handle = open_job(args)
    show_one(description.detailed(handle, status_of(hook, handle)), args.output, description.WORDING)


@command
def logs(args: Namespace) -> None:
    """What the job printed, and with ``--follow`` what it goes on to print."""
    if args.follow and args.tail is not None:
        raise ConfigurationError("`--tail` and `--follow` cannot be used together.", advice="Leave one of them out.")
    hook, handle = open_job(args)
    if args.follow:
        _follow(hook, handle)
        return
    text = hook.logs(handle, args.tail)
    sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
    if not text:
        tell(f"Job {handle.job_id} has printed nothing so far.")


def _follow(hook: KineticHook, handle: JobHandle) -> None:
    from airflow_provider_kinetic.lifecycle.effects import drive
    from airflow_provider_kinetic.lifecycle.observe import watch

    onlooker = replace(handle, startup_timeout=None, run_timeout=None)  # deadlines are the task's business
    drive(watch(onlooker, poll=FOLLOW_POLL), hook.ports, say=tell, show=_print, sleep=time.sleep)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@command
def result(args: Namespace) -> None:
    """The function's value; its exception goes to stderr, with exit code 1."""
    hook, handle = open_job(args)
    now = hook.status(handle)
    if not now.state.terminal:
        raise ConfigurationError(
            f"Job {handle.job_id} is {now.state.value}: there is no result yet.",
            advice=f"`airflow kinetic jobs logs {handle.job_id} --follow` shows it until its end.",
        )
    value = hook.result(handle)
    try:
        print(json.dumps(value, indent=2, allow_nan=False))
    except (TypeError, ValueError):
        print(repr(value))
        tell(
            f"The value is no JSON ({type(value).__name__}), so this is its repr. In Python: "
            f"load_result({{'uri': {handle.result_uri!r}}}) of airflow_provider_kinetic.hooks.kinetic."
        )


@audited
def cancel(args: Namespace) -> None:
    """Stop the job and wait for the end of its machine."""
    hook, handle = open_job(args)
    now = status_of(hook, handle)
    if now.state.terminal:
        tell(f"Job {handle.job_id} is over already ({_in_words(now)}): there is nothing to cancel.")
        return
    _stop(hook, handle)


def _stop(hook: KineticHook, handle: JobHandle) -> None:
    wait = longest_wait(handle)
    tell(f"Cancelling job {handle.job_id}: it has {handle.stop_grace:g} s to end.")
    if hook.cancel(handle, by=actor(), wait=wait):
        tell(f"Job {handle.job_id} has ended.")
    else:
        tell(f"The machine of job {handle.job_id} has not ended within {wait:.0f} s. It is still being stopped.")


def _in_words(status: JobStatus) -> str:
    return " ".join(filter(None, (status.state.value, status.reason.value)))


@audited
def cleanup(args: Namespace) -> None:
    """Remove what the job left; never its outputs."""
    from airflow_provider_kinetic.lifecycle.cleanup import Halves

    halves = Halves(k8s=not args.no_k8s, artifacts=not args.no_artifacts)
    hook, handle = open_job(args)
    before = hook.status(handle)
    if args.force and not before.state.terminal:
        _stop(hook, handle)
    clean(hook, handle, by=actor(), halves=halves)
    removed = [name for name, chosen in (("object", halves.k8s), ("artifacts", halves.artifacts)) if chosen]
    tell(f"Job {handle.job_id} ({_in_words(before)}): {' and '.join(removed) or 'nothing'} removed.")
    if handle.output_dir is not None:
        tell(f"Its outputs and its result stay in {handle.output_dir}.")


@audited
def preempt(args: Namespace) -> None:
    """Take the machine away, as a cloud would do with a spot machine."""
    hook, handle = open_job(args)
    take_away: Any = getattr(hook.ports.cluster, "preempt", None)
    if take_away is None:
        raise ConfigurationError(
            f"The platform {hook.target.platform!r} does not take machines away on request.",
            advice=f"Delete the pod of the job object {handle.k8s_name}, or drain its node.",
        )
    take_away(handle.k8s_name, namespace=handle.namespace, hard=args.hard)
    tell(f"Job {handle.job_id} was told that it loses its machine; it starts again as its next attempt.")
