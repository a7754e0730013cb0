"""The numbered records of a trial's starts.

Every start takes the next number with a create-only write before anything of the user's is opened, so
starts are counted even when the machine dies at once, and of many simultaneous starts each has its own
number. What is counted here decides when preemptions end a job (``design`` 3.6).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.report import Report
from airflow_provider_kinetic.job.storage import ObjectExists, Storage, open_storage
from airflow_provider_kinetic.job.training.checkpoints import Commits, Survey, names_of, survey
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.steps import Checkpoint, newest_step

STALLED = 3
"""So many preempted attempts in a row that found the same checkpoint end a job."""


@dataclass(frozen=True)
class Attempt:
    """This start. ``earlier`` are the records of former starts of the same job, oldest first."""

    number: int = 0
    """0 where no records are kept."""
    earlier: tuple[Mapping[str, Any], ...] = ()
    checkpoint: Checkpoint | None = None
    """The newest one at the start."""

    def spent(self, max_preemptions: int) -> str:
        """Why this job must not be started once more; empty when it may run.

        That it gets nowhere is sure only where we see a checkpoint of it: others may go on from files of their own.
        """
        if len(self.earlier) > max_preemptions:
            return f"The job was preempted {len(self.earlier)} times; max_preemptions={max_preemptions}."
        here, last = self.checkpoint, [_origin(record) for record in self.earlier[-STALLED:]]
        if here is not None and last == [here.to_dict()] * STALLED:
            start = f"all started from the checkpoint of step {here.step}"
            return f"{STALLED} attempts in a row were preempted without a new checkpoint: {start}."
        return ""


class Records:
    """Reads and writes the records of one trial for one job."""

    def __init__(self, output_dir: str, job_id: str, storage: Storage | None = None) -> None:
        self.layout = TrialLayout(output_dir)
        self.storage = storage or open_storage(output_dir)
        self.job_id = job_id
        self.starts: dict[int, Mapping[str, Any]] = {}
        """Start records that were read."""
        self.commits = Commits(self.storage, self.layout)

    def begin(self, trial: Mapping[str, Any], host_index: int = 0) -> Attempt:
        """Take the next number; every record says whose start it was and with which arguments.

        What an earlier attempt saves between our look and our record would be lost, so we look again and, if there is
        more, take another number. Records with our nonce that no later one names as its parent were never lived in.
        Nor do we rely on listings to be of this moment: a number that is taken is known by its record.
        """
        nonce = os.urandom(16).hex()
        while True:
            seen = survey(self.storage, self.layout, self.starts)
            if not seen.starts:
                self._create(self.layout.trial, {"created": now(), **trial})
            number = max(seen.starts, default=0) + 1
            others = {each: record for each, record in seen.starts.items() if record.get("nonce") != nonce}
            checkpoint = self._newest(replace(seen, starts=others))
            record = {
                **_brief(trial, others),
                "attempt": number,
                "job_id": self.job_id,
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "host_index": host_index,
                "started": now(),
                "nonce": nonce,
                "parent": _parent(others, checkpoint, seen.commits, self._saved(checkpoint)),
            }
            if not self._create(self.layout.attempt(number), record):
                self.starts.setdefault(number, {})
                continue
            self.starts[number] = record
            if names_of(self.storage.list(self.layout.commits)) <= seen.commits:
                return Attempt(number, self._earlier(others), checkpoint)

    def _newest(self, seen: Survey) -> Checkpoint | None:
        """Ours or Orbax's, whichever is further."""
        native = newest_step(self.storage, self.layout)
        ours = next(self.commits.newest(seen.visible()), None)
        if ours is None or (native is not None and native.step > ours.step):
            return native
        return Checkpoint(ours.step, ours.uri)

    def _saved(self, checkpoint: Checkpoint | None) -> float | None:
        """When, in Unix seconds by the store's clock: what was lost is counted from there, and retention may take the
        checkpoint away before anybody counts."""
        if checkpoint is None:
            return None
        name = checkpoint.uri.rpartition("/")[2]
        if Name.parse(name):
            record = self.storage.entry(self.layout.commit(name))
            found = [record] if record else []
        else:
            found = list(self.storage.tree(checkpoint.uri))
        return max((entry.updated for entry in found), default=0) / 1e9 or None

    def _earlier(self, starts: Mapping[int, Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """Of this job, each life once."""
        mine = (record for _, record in sorted(starts.items()) if record.get("job_id") == self.job_id)
        return tuple({str(record.get("nonce")): record for record in mine}.values())

    def end(self, attempt: Attempt, report: Report) -> None:
        """The end record; who finds one keeps it."""
        checkpoint = self._newest(survey(self.storage, self.layout, self.starts))
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

    def _create(self, uri: str, content: Mapping[str, Any]) -> bool:
        try:
            self.storage.write(uri, json.dumps({"v": protocol.VERSION, **content}).encode(), if_absent=True)
        except ObjectExists:
            return False
        return True


def now() -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _brief(trial: Mapping[str, Any], starts: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Without arguments that an earlier record holds: all records are read at every start, and they may be long."""
    digest = trial.get("args_digest")
    if not digest or not any("args" in each and each.get("args_digest") == digest for each in starts.values()):
        return trial
    return {name: value for name, value in trial.items() if name != "args"}


def _parent(
    starts: Mapping[int, Mapping[str, Any]],
    checkpoint: Checkpoint | None,
    commits: Iterable[Name],
    saved: float | None,
) -> dict[str, Any] | None:
    """Where an attempt after ``starts`` goes on; ``seq`` closes the list of the former one's checkpoints."""
    former = max(starts, default=0)
    if former == 0:
        return None
    seq = max((name.seq for name in commits if name.attempt == former), default=0)
    here = checkpoint.to_dict() if checkpoint else None
    return {"attempt": former, "checkpoint": here, "saved": saved, "seq": seq}


def _origin(record: Mapping[str, Any]) -> Any:
    """The checkpoint that an earlier attempt started from."""
    parent = record.get("parent")
    return parent.get("checkpoint") if isinstance(parent, Mapping) else None
