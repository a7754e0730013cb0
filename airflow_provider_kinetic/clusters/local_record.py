"""What is known of a local job, and what that means.

Reading touches the disk and judging does not, so the judgement can be tested with any record at all.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.clusters.local_node import files
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason


@dataclass(frozen=True)
class Record:
    """The folder of one job at one moment."""

    order: Mapping[str, Any]
    node: Mapping[str, Any] | None = None
    """None until the job was begun."""
    state: Mapping[str, Any] = field(default_factory=dict)
    alive: bool = False
    """Somebody holds the job's lock: its node, or the creator that is about to start it."""
    deletion_asked: bool = False
    boot_id: str = ""
    """Of the reader."""
    now: float = 0.0

    @property
    def begun(self) -> bool:
        return self.node is not None

    @property
    def final(self) -> bool:
        return self.state.get("phase") == "ended"

    @property
    def lost(self) -> bool:
        """It was begun, is not final, and nobody is left to bring it to its end."""
        return self.begun and not self.alive and not self.final


def read(folder: Path) -> Record | None:
    """The record of a folder; None when there is none.

    A folder can go, or go and come again, while it is read; then what was read is of no use and it is read again.
    """
    while (before := _identity(folder)) is not None:
        record = _read(folder)
        if _identity(folder) == before:
            return record
    return None


def _identity(folder: Path) -> tuple[int, int] | None:
    """Of the one file that is written once; inode numbers alone are used again."""
    try:
        found = (folder / files.ORDER).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_ctime_ns


def _read(folder: Path) -> Record | None:
    """The order matters: a node that was begun before its lock was seen free has ended, so all is written."""
    order = _read_json(folder / files.ORDER)
    if order is None:
        return None
    node = _read_json(folder / files.NODE)
    alive = files.held(folder / files.LOCK)
    return Record(
        order=order,
        node=node,
        state=_read_json(folder / files.STATE) or {},
        alive=alive,
        deletion_asked=(folder / files.STOP).exists(),
        boot_id=files.boot_id(),
        now=time.time(),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def status_of(record: Record | None) -> JobStatus:
    """The state of a job as a Kubernetes Job would show it."""
    if record is None:
        return JobStatus(JobState.NOT_FOUND, message="There is no job of that name.", server_time=time.time())
    if record.final:
        state, reason, message, exit_code = _ending(record.state)
    elif not record.alive and record.deletion_asked:
        state, reason, message, exit_code = JobState.NOT_FOUND, Reason.NONE, "The job was deleted.", None
    elif record.lost:
        state, reason, message, exit_code = JobState.NOT_FOUND, Reason.VANISHED, _why_lost(record), None
    else:
        state, reason, message = _progress(record)
        exit_code = None
    facts = record.state
    return JobStatus(
        state,
        reason,
        message,
        exit_code=exit_code,
        attempts=facts.get("attempts", 0),
        preemptions=facts.get("preemptions", 0),
        created_at=record.order["created_at"],
        started_at=facts.get("started_at"),
        finished_at=facts.get("finished_at"),
        server_time=record.now,
        stopping=record.deletion_asked and not state.terminal,
        objects=_objects(facts.get("termination", "")),
    )


def _progress(record: Record) -> tuple[JobState, Reason, str]:
    phase = record.state.get("phase")
    if phase == "running":
        return JobState.RUNNING, Reason.NONE, ""
    if phase == "queued":
        slots = record.order["slots"]
        return JobState.PENDING, Reason.QUEUED, f"waiting for one of {slots} slot{'s' if slots != 1 else ''}"
    if phase == "restarting":
        number = record.state["attempts"] + 1
        return JobState.PENDING, Reason.RESTARTING, f"preempted; attempt {number} starts in a moment"
    return JobState.PENDING, Reason.STARTING, ""


_SAID = {
    protocol.EXIT_BUDGET_SPENT: (Reason.PREEMPTION_BUDGET, "Preempted too often."),
    protocol.EXIT_STALLED: (Reason.STALLED, "No progress for too long."),
}
"""What the runner says by its exit code, and in more words where it could."""


def _ending(facts: Mapping[str, Any]) -> tuple[JobState, Reason, str, int | None]:
    code = _exit_code(facts.get("code"))
    if facts["ending"] == "deadline":
        return JobState.FAILED, Reason.DEADLINE, "The job was stopped: it passed its deadline.", code
    if facts["ending"] == "unstartable":
        return JobState.FAILED, Reason.IMAGE, f"The command could not be started: {facts['error']}.", None
    if code == protocol.EXIT_OK:
        return JobState.SUCCEEDED, Reason.NONE, "", code
    words = protocol.decode_termination(facts.get("termination", "").encode()) or {}
    if code in _SAID:
        reason, general = _SAID[code]
        return JobState.FAILED, reason, words.get("reason") or general, code
    if code == protocol.EXIT_PREEMPTED and words.get("outcome") == "preempted":
        return JobState.FAILED, Reason.PREEMPTED, f"It ended early: {words.get('reason')}.", code
    if code is not None and code > 128:
        return JobState.FAILED, Reason.KILLED, _killed(code), code
    return JobState.FAILED, Reason.USER_CODE, f"The process exited with code {code}.", code


def _exit_code(code: int | None) -> int | None:
    """Kubernetes' convention, which is the shell's: 128 + signal."""
    return 128 - code if code is not None and code < 0 else code


def _killed(code: int) -> str:
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        name = f"signal {code - 128}"
    message = f"The process was killed by {name} (exit code {code}), not by this cluster."
    if code == 128 + signal.SIGKILL:
        message += " Perhaps the machine was out of memory: the kernel's log says so (`dmesg`)."
    return message


def _why_lost(record: Record) -> str:
    node = record.node or {}
    if record.boot_id and node.get("boot_id") and node["boot_id"] != record.boot_id:
        return "The machine was restarted while the job was there."
    if record.state.get("interrupted"):
        return "The job's node was told to stop (SIGTERM), as when the machine shuts down."
    return f"The job's node (process {node.get('pid')}) was killed or failed, and the job ended with it."


def _objects(termination: str) -> Mapping[str, Mapping[str, Any]]:
    message = protocol.decode_termination(termination.encode()) or {}
    objects = message.get("objects", {})
    return objects if isinstance(objects, dict) else {}
