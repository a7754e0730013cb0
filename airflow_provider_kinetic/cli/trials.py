"""Which trial a command is about."""

from __future__ import annotations

import re
from argparse import Namespace

from airflow_provider_kinetic.cli.command import open_job
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.reader import TrialReader
from airflow_provider_kinetic.model.errors import ConfigurationError, JobNotFound
from airflow_provider_kinetic.model.spec import TaskIdentity

_LIKE_A_PATH = ("/", "./", "../", "~")
_LIKE_A_JOB = re.compile(r"(kinetic-)?job-\w+")
UNMAPPED = -1


def open_trial(args: Namespace) -> tuple[KineticHook, TrialReader]:
    """The trial of the command line, and the hook whose store it lies in.

    :raises JobNotFound: the connection's store knows no such job, or the task has none.
    :raises ConfigurationError: it names no trial, or a place where nothing of one is.
    """
    given = str(args.trial).strip().rstrip("/")
    if "://" in given or given in (".", "..") or given.startswith(_LIKE_A_PATH):
        hook, reader = _opened(KineticHook(args.conn_id), _as_uri(given))
        _check_there(reader)
        return hook, reader
    args.job = given if _LIKE_A_JOB.fullmatch(given) else _job_of(given, args.map_index)
    hook, handle = open_job(args)
    if handle.output_dir is None:
        raise ConfigurationError(f"Job {handle.job_id} was submitted without an output directory: it has no trial.")
    return _opened(hook, handle.output_dir)


def _opened(hook: KineticHook, output_dir: str) -> tuple[KineticHook, TrialReader]:
    return hook, TrialReader(hook.ports.store, output_dir)


def _check_there(reader: TrialReader) -> None:
    """A slip of the pen must not look like a trial that has saved nothing."""
    view = reader.look()
    if not view.state().attempt and not view.checkpoints.all():
        raise ConfigurationError(
            f"There is no trial in {reader.layout.output_dir}: no attempt has begun there, and there is no checkpoint.",
            advice="A task's XCom `output_dir` is the right one, and `airflow kinetic jobs status JOB` names it.",
        )


def _as_uri(given: str) -> str:
    from pathlib import Path

    from airflow_provider_kinetic.job.vaults import as_uri

    return as_uri(given if "://" in given else Path(given).expanduser())


def _job_of(given: str, map_index: int | None) -> str:
    """The newest job of ``DAG_ID/TASK_ID/RUN_ID``."""
    from airflow_provider_kinetic.cli.task_instances import asked

    dag_id, _, rest = given.partition("/")
    task_id, _, run_id = rest.partition("/")
    if not (dag_id and task_id and run_id):
        raise ConfigurationError(
            f"{given!r} names no trial.",
            advice="Give an output directory (gs://…, /folder, ./folder), a job id, or DAG_ID/TASK_ID/RUN_ID.",
        )
    identity = TaskIdentity(dag_id, task_id, run_id, UNMAPPED if map_index is None else map_index)
    with asked() as facts:
        found = facts(identity)
    if found is None or found.newest_job_id is None:
        raise JobNotFound(
            f"Airflow knows {'no such task instance' if found is None else 'no job of that task instance'}: {given}"
            + ("" if map_index is None else f" [{map_index}]"),
            advice="Of a mapped task instance say which with `--map-index`; or give the trial's output directory.",
        )
    return found.newest_job_id
