"""What the records of an output directory say, read from outside the job.

The runner writes them (``job.training.attempts``); the provider asks two questions: has this trial ended well
(then a rerun needs a directory of its own, or it would restore the last step and train nothing), and
was a certain job ever started.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.checkpoints import read_record
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.model.spec import TaskIdentity
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.vault import StoreVault

COMPLETED, FAILED = "COMPLETED", "FAILED"
_WHO = ("dag", "task", "run")


@dataclass(frozen=True)
class Attempt:
    """One start of the runner: its record and, once it ended, its end record."""

    number: int
    record: dict[str, Any]
    end: dict[str, Any] | None = None

    @property
    def job_id(self) -> str:
        return str(self.record.get("job_id", ""))

    @property
    def whose(self) -> str:
        """For people."""
        named = ", ".join(f"{what} {self.record[f'{what}_id']}" for what in _WHO if self.record.get(f"{what}_id"))
        return f"job {self.job_id} ({named})" if named else f"job {self.job_id}"

    @property
    def completed(self) -> bool:
        return self.end is not None and self.end.get("state") == COMPLETED

    @property
    def resumed_from(self) -> dict[str, Any] | None:
        """The checkpoint that was there at the start: ``{"step", "uri"}``."""
        parent = self.record.get("parent")
        return parent.get("checkpoint") if isinstance(parent, dict) else None

    def of(self, identity: TaskIdentity) -> bool:
        """Whether it was this task instance's. A record that names no task is of a trial that only one had."""
        names = ("dag_id", "task_id", "run_id", "map_index")
        mine = {name: str(getattr(identity, name)) for name in names}
        return {name: str(self.record.get(name, mine[name])) for name in names} == mine


def attempts(store: Store, output_dir: str) -> list[Attempt]:
    """All attempts of a trial, oldest first, in two round trips. Records that cannot be read are left out."""
    return _attempts(store, output_dir, slice(None))


def newest(store: Store, output_dir: str) -> Attempt | None:
    """The last attempt that began, as far as it can be read; None where there was none."""
    return next(iter(_attempts(store, output_dir, slice(-1, None))), None)


def completed(store: Store, output_dir: str) -> bool:
    """Whether the newest attempt of this trial ended well: its end record decides, not the task's state."""
    last = newest(store, output_dir)
    return last is not None and last.completed


def arguments(store: Store, output_dir: str, digest: str) -> dict[str, Any] | None:
    """What the starts with this digest were called with: one of their records holds it. None: it is gone."""
    found = (attempt.record for attempt in attempts(store, output_dir))
    known = (record.get("args") for record in found if record.get("args_digest") == digest)
    return next((args for args in known if isinstance(args, dict)), None)


def _attempts(store: Store, output_dir: str, part: slice) -> list[Attempt]:
    layout, vault = TrialLayout(output_dir), StoreVault(store)
    present = {info.uri for info in store.list(layout.attempts)}
    numbers = sorted(number for uri in present if (number := _number(uri)))[part]
    starts = [layout.attempt(number) for number in numbers]
    ends = [uri for number in numbers if (uri := layout.attempt_end(number)) in present]
    uris = starts + ends
    found = together(*(partial(read_record, vault, uri) for uri in uris)) if uris else []
    records = dict(zip(uris, found, strict=True))
    return [
        Attempt(number, record, records.get(layout.attempt_end(number)))
        for number, uri in zip(numbers, starts, strict=True)
        if (record := records[uri]) is not None
    ]


def _number(uri: str) -> int:
    """Of a start record; 0 for anything else."""
    name = uri.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isdecimal() and uri.endswith(".json") else 0
