"""The numbered records of a trial's starts.

Every start takes the next number with a create-only write before anything of the user's is opened, so
starts are counted even when the machine dies at once, and of many simultaneous starts each has its own
number. What is counted here decides when preemptions end a job (``design`` 3.6).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.report import Report
from airflow_provider_kinetic.job.steps import Checkpoint, newest_step
from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing, open_storage

STALLED = 3
"""So many preempted attempts in a row without a new checkpoint end a job."""


@dataclass(frozen=True)
class Attempt:
    """This start. ``earlier`` are the records of former starts of the same job, oldest first."""

    number: int = 0
    """0 where no records are kept."""
    earlier: tuple[Mapping[str, Any], ...] = ()
    checkpoint: Checkpoint | None = None
    """The newest one at the start."""

    def spent(self, max_preemptions: int) -> str:
        """Why this job must not be started once more; empty when it may run."""
        if len(self.earlier) > max_preemptions:
            return f"The job was preempted {len(self.earlier)} times; max_preemptions={max_preemptions}."
        last = [_origin(record) for record in self.earlier[-STALLED:]]
        here = self.checkpoint.to_dict() if self.checkpoint else None
        if len(last) == STALLED and all(origin == here for origin in last):
            where = f"the checkpoint of step {self.checkpoint.step}" if self.checkpoint else "the beginning"
            return f"{STALLED} attempts in a row were preempted without a new checkpoint: all started from {where}."
        return ""


class Records:
    """Reads and writes the records of one trial for one job."""

    def __init__(self, output_dir: str, job_id: str) -> None:
        self.layout = TrialLayout(output_dir)
        self.storage = open_storage(output_dir)
        self.job_id = job_id

    def begin(self, trial: Mapping[str, str], host_index: int = 0) -> Attempt:
        """Take the next number."""
        checkpoint = newest_step(self.storage, self.layout.checkpoints)
        while True:
            records = self._read_all()
            if not records:
                self._create(self.layout.trial, {"created": now(), **trial})
            number = max(records, default=0) + 1
            record = {
                "attempt": number,
                "job_id": self.job_id,
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "host_index": host_index,
                "started": now(),
                "nonce": os.urandom(16).hex(),
                "parent": _parent(number - 1, checkpoint),
            }
            if self._create(self.layout.attempt(number), record):
                earlier = tuple(record for _, record in sorted(records.items()) if self._mine(record))
                return Attempt(number, earlier, checkpoint)

    def end(self, attempt: Attempt, report: Report) -> None:
        """The end record; who finds one keeps it."""
        checkpoint = newest_step(self.storage, self.layout.checkpoints)
        self._create(
            self.layout.attempt_end(attempt.number),
            {
                "state": report.state,
                "reason": report.reason,
                "ended": now(),
                "checkpoint": checkpoint.to_dict() if checkpoint else None,
                "error": report.error,
            },
        )

    def notice(self, attempt: Attempt) -> None:
        """A stop was asked for."""
        self._create(self.layout.stop_notice(attempt.number), {"noticed": now()})

    def _mine(self, record: Mapping[str, Any]) -> bool:
        return record.get("job_id") == self.job_id

    def _read_all(self) -> dict[int, Mapping[str, Any]]:
        """Start records by number. One that cannot be read still holds its number."""
        found: dict[int, Mapping[str, Any]] = {}
        for uri in self.storage.list(self.layout.attempts):
            stem = uri.rpartition("/")[2][: -len(".json")]
            if uri.endswith(".json") and stem.isdecimal():
                found[int(stem)] = self._read(uri)
        return found

    def _read(self, uri: str) -> Mapping[str, Any]:
        try:
            parsed = json.loads(self.storage.read(uri))
        except (ObjectMissing, ValueError):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def _create(self, uri: str, content: Mapping[str, Any]) -> bool:
        try:
            self.storage.write(uri, json.dumps({"v": protocol.VERSION, **content}).encode(), if_absent=True)
        except ObjectExists:
            return False
        return True


def now() -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _parent(number: int, checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    if number == 0:
        return None
    return {"attempt": number, "checkpoint": checkpoint.to_dict() if checkpoint else None}


def _origin(record: Mapping[str, Any]) -> Any:
    """The checkpoint that an earlier attempt started from."""
    parent = record.get("parent")
    return parent.get("checkpoint") if isinstance(parent, Mapping) else None
