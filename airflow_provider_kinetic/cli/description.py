"""A job as the command line shows it: the keys are for scripts and stay, the wording is for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.cli.output import Row, ago, span, timestamp
from airflow_provider_kinetic.lifecycle import gc
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobStatus

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.base import JobSummary

_TIMES = ("created_at", "started_at", "finished_at")
_STATUS = ("message", "attempts", "preemptions", "exit_code", "stopping")
_FROM_HANDLE = {"function": "func_name", "accelerator": "accelerator", "namespace": "namespace"}


def listed(job: JobSummary, handle: JobHandle | None) -> Row:
    """A row of the list. ``handle`` is None where the store has none any more."""
    identity = gc.owner(job)
    task = asdict(identity) if identity else dict.fromkeys(("dag_id", "task_id", "run_id", "map_index"))
    task.pop("try_number", None)
    known = {key: getattr(handle, name, None) for key, name in _FROM_HANDLE.items()}
    known["namespace"] = known["namespace"] or job.namespace or None
    return {"job_id": job.job_id, **_state(job.status), **known, **task}


def detailed(handle: JobHandle, status: JobStatus) -> Row:
    """Everything that is known of one job, with the places where more is found."""
    return {
        "job_id": handle.job_id,
        **_state(status),
        **{key: getattr(handle, name) for key, name in _FROM_HANDLE.items()},
        **{key: getattr(handle, key) for key in ("dag_id", "task_id", "run_id", "map_index", "try_number")},
        "output_dir": handle.output_dir,
        "result_uri": handle.result_uri,
        "logs": handle.logs,
        "artifacts": handle.prefix,
        "image": handle.image_uri,
        "platform": handle.platform,
        "k8s_name": handle.k8s_name,
    }


def _state(status: JobStatus) -> Row:
    return {
        "state": status.state.value,
        "reason": status.reason.value or None,
        **{key: getattr(status, key) for key in _STATUS},
        **{key: timestamp(getattr(status, key)) for key in _TIMES},
        "run_seconds": _ran(status),
    }


def _ran(status: JobStatus) -> float | None:
    end = status.finished_at or status.server_time
    if status.started_at is None or end is None:
        return None
    return round(max(0.0, end - status.started_at), 1)


def task_name(row: Row) -> str | None:
    """The task with its map index, where it has one."""
    index = row["map_index"]
    return f"{row['task_id']}[{index}]" if index is not None and index >= 0 else row["task_id"]


def _time(key: str) -> Callable[[Row], str | None]:
    return lambda row: f"{row[key]} ({ago(row[key])})" if row[key] else None


LIST_COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    "job": lambda row: row["job_id"],
    "state": lambda row: row["state"],
    "reason": lambda row: row["reason"],
    "attempts": lambda row: row["attempts"],
    "created": lambda row: ago(row["created_at"]),
    "ran": lambda row: span(row["run_seconds"]),
    "function": lambda row: row["function"],
    "dag": lambda row: row["dag_id"],
    "task": task_name,
    "run": lambda row: row["run_id"],
}

WORDING: Mapping[str, Callable[[Row], Any]] = {
    **{key: _time(key) for key in _TIMES},
    "exit_code": lambda row: _text_of(row["exit_code"]),
    "preemptions": lambda row: _text_of(row["preemptions"]),
    "run_seconds": lambda row: span(row["run_seconds"]),
    "map_index": lambda row: row["map_index"] if (row["map_index"] or 0) >= 0 else None,
}


def _text_of(number: int | None) -> str | None:
    """A number that is worth showing also when it is 0."""
    return None if number is None else str(number)
