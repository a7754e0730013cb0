"""What the records of an output directory say, read from outside the job.

The runner writes them (``job.attempts``); the provider asks two questions: has this trial ended well
(then a rerun needs a directory of its own, or it would restore the last step and train nothing), and
was a certain job ever started.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.stores.base import Store

COMPLETED, FAILED = "COMPLETED", "FAILED"


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
    def completed(self) -> bool:
        return self.end is not None and self.end.get("state") == COMPLETED

    @property
    def resumed_from(self) -> dict[str, Any] | None:
        """The checkpoint that was there at the start: ``{"step", "uri"}``."""
        parent = self.record.get("parent")
        return parent.get("checkpoint") if isinstance(parent, dict) else None


def attempts(store: Store, output_dir: str) -> list[Attempt]:
    """All attempts of a trial, oldest first. Records that cannot be read are left out."""
    layout = TrialLayout(output_dir)
    present = [info.uri for info in store.list(layout.attempts) if info.uri.endswith(".json")]
    starts = {uri: _read(store, uri) for uri in present if not uri.endswith(".end.json")}
    found = []
    for uri, record in starts.items():
        end_uri = uri.removesuffix(".json") + ".end.json"
        if record is not None:
            end = _read(store, end_uri) if end_uri in present else None
            found.append(Attempt(int(record.get("attempt", 0)), record, end))
    return sorted(found, key=lambda attempt: attempt.number)


def completed(store: Store, output_dir: str) -> bool:
    """Whether the newest attempt of this trial ended well: its end record decides, not the task's state."""
    known = attempts(store, output_dir)
    return bool(known) and known[-1].completed


def _read(store: Store, uri: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(store.read(uri))
    except (ObjectMissing, ValueError):
        return None
    return parsed if isinstance(parsed, dict) else None
