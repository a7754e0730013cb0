"""The steps of an Orbax ``CheckpointManager`` that works in the output directory, as checkpoints beside ours.

They are only looked at: retention, deletions and what clears up behind a crash are Orbax's own (``checkpointing`` 3.9).
The other way round, Orbax leaves names like ours alone, but for one case: with ``cleanup_tmp_directories`` it deletes
every folder in Cloud Storage that has no mark of success. So ours have one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Entry, ObjectMissing, Storage
from airflow_provider_kinetic.job.training import steps
from airflow_provider_kinetic.job.training.checkpoints import ORBAX, Checkpoint, in_parallel
from airflow_provider_kinetic.job.training.numbers import as_json
from airflow_provider_kinetic.job.training.steps import DESCRIPTION, MARKER
from airflow_provider_kinetic.job.vaults import below

METRICS = "metrics/metrics"
"""File of a step that was saved with ``metrics=``."""


class NativeSteps:
    """Asked anew each time; what a step says of itself is read once."""

    def __init__(self, storage: Storage, layout: TrialLayout) -> None:
        self._storage = storage
        self._layout = layout
        self._known: dict[tuple[str, int], tuple[str, Mapping[str, Any]]] = {}

    def all(self) -> list[Checkpoint]:
        """The committed ones, lowest step first."""
        entries = steps.files(self._storage, self._layout)
        files: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            folder, name, rest = steps.parts(entry.uri, self._layout)
            files.setdefault(f"{folder}/{name}", {})[rest] = entry
        committed = steps.steps_among((entry.uri for entry in entries), self._layout)
        return in_parallel(lambda step: self._described(step.step, step.uri, files[step.uri]), committed)

    def _described(self, step: int, uri: str, files: Mapping[str, Entry]) -> Checkpoint:
        last = files.get(MARKER) or max(files.values(), key=lambda entry: entry.updated)
        key = uri, last.updated
        if key not in self._known:
            said = self._read(uri, DESCRIPTION, files)
            metadata = {**_mapping(said.get("custom_metadata")), **self._read(uri, METRICS, files)}
            saved = said.get("commit_timestamp_nsecs") or said.get("init_timestamp_nsecs") or last.updated
            self._known[key] = _utc(saved), as_json(metadata)
        created, about = self._known[key]
        return Checkpoint(
            step,
            uri,
            metadata=about,
            bytes=sum(entry.size for entry in files.values()),
            files=len(files),
            created=created,
            kind=ORBAX,
        )

    def _read(self, uri: str, name: str, files: Mapping[str, Entry]) -> dict[str, Any]:
        """Of another's file, and perhaps of a version that we do not know: empty for what cannot be used."""
        if name not in files:
            return {}
        try:
            return _mapping(json.loads(self._storage.read(below(uri, name))))
        except (ObjectMissing, ValueError):
            return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _utc(nanoseconds: Any) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(nanoseconds) / 1e9))
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
