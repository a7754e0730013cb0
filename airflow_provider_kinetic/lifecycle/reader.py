"""A trial as others see it: tasks, pages and people, with Airflow's credentials (``checkpointing`` 3.11).

The records are read by the code that wrote them; here it is told what they mean. A look costs two round trips, however
long the story is, and what never changes is read once: a reader that is kept costs little more than its listings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.checkpoints import Commits, in_parallel, read_record
from airflow_provider_kinetic.job.training.native import NativeSteps
from airflow_provider_kinetic.job.training.series import Row
from airflow_provider_kinetic.job.training.summary import Summary
from airflow_provider_kinetic.lifecycle.reader_attempts import attempts_of, state_of
from airflow_provider_kinetic.lifecycle.reader_checkpoints import CheckpointsView
from airflow_provider_kinetic.lifecycle.reader_facts import AttemptInfo, CheckpointInfo, TrialState
from airflow_provider_kinetic.lifecycle.reader_listing import Listing
from airflow_provider_kinetic.lifecycle.reader_rows import RowsReader, Tail
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.vault import StoreVault


@dataclass(frozen=True)
class View:
    """A trial at one moment, from one listing."""

    listing: Listing
    reader: TrialReader

    def state(self, job_id: str | None = None) -> TrialState:
        """:param job_id: of this job's attempts alone; another one may have begun since."""
        summary = self.reader.summary() if self.listing.has_metrics else {}
        return state_of(self.listing, self._attempts, summary, job_id)

    def attempts(self) -> list[AttemptInfo]:
        return list(self._attempts)

    @property
    def used(self) -> bool:
        """A function has used its trial, or Orbax, at all: every job's start is on record."""
        listing = self.listing
        return bool(listing.heartbeat or listing.has_metrics or listing.survey.commits or listing.native)

    @cached_property
    def checkpoints(self) -> CheckpointsView:
        return self.reader.view_of(self.listing, self._attempts)

    @cached_property
    def _attempts(self) -> Sequence[AttemptInfo]:
        return attempts_of(self.listing)


class TrialReader:
    """Reads the trial in an output directory. Every method looks anew; ``look`` is for several answers at once.

    Safe for threads. All methods raise what the store raises; a trial that has not begun is no error.

    :param output_dir: ``file://`` or ``gs://`` URI, without a final slash.
    :param lifetime: seconds after which the store deletes an object by its age, where it has such a rule.
    """

    def __init__(self, store: Store, output_dir: str, *, lifetime: float | None = None) -> None:
        self.layout = TrialLayout(output_dir.rstrip("/"))
        self.vault = StoreVault(store)
        self._store = store
        self._lifetime = lifetime
        self._commits = Commits(self.vault, self.layout)
        self._native = NativeSteps(self.vault, self.layout)
        self._records: dict[str, Mapping[str, Any]] = {}
        self._rows = RowsReader(self.vault, self.layout)

    def look(self) -> View:
        """Files after the records that speak of them: what is committed was whole when it was listed."""
        layout = self.layout
        places = (layout.attempts, layout.commits, layout.tombstones, layout.pins, layout.metrics)
        notices = f"{layout.records}/preempt/"
        infos = [*chain(*in_parallel(self.vault.infos, [*places, notices, layout.heartbeat]))]
        starts_and_ends = [info.uri for info in infos if info.uri.startswith(layout.attempts)]
        reads: list[Callable[[], Any]] = [
            lambda: self.vault.infos(f"{layout.checkpoints}/"),
            lambda: self.vault.numbered(layout.output_dir),
            lambda: read_record(self.vault, layout.heartbeat) or {},
            lambda: in_parallel(self._record, starts_and_ends),
        ]
        files, steps, heartbeat, records = in_parallel(lambda read: read(), reads)
        by_uri = {info.uri: info for info in (*infos, *files, *steps)}
        said = dict(zip(starts_and_ends, records, strict=True))
        return View(Listing(layout, by_uri, said, heartbeat, self._store.now(layout.records)), self)

    def state(self) -> TrialState:
        return self.look().state()

    def attempts(self) -> list[AttemptInfo]:
        """Oldest first."""
        return self.look().attempts()

    def checkpoints(self) -> list[CheckpointInfo]:
        """All, by step, Orbax's too. Reads a record for each that was not read before."""
        return self.look().checkpoints.all()

    def latest(self) -> CheckpointInfo | None:
        """The last one that is whole; Orbax's where that has more steps."""
        return self.look().checkpoints.latest()

    def best(self, metric: str, mode: str = "min") -> CheckpointInfo | None:
        """By a number in the metadata; the later of equals.

        :raises ValueError: ``mode`` is neither ``"min"`` nor ``"max"``.
        """
        return self.look().checkpoints.best(metric, mode)

    def metrics(self, max_points: int | None = None) -> dict[str, Any]:
        """``step`` and ``series`` by ``group/name``: ``count``, ``last``, ``min``, ``max``, and ``points`` to draw.

        One request; where there is no summary yet, one of rows that are there. At most half a minute old.

        :param max_points: about so many of each curve, first and last among them.
        """
        summary = self.summary()
        series = {
            name: {**curve, "points": _thinned(curve.get("points", []), max_points)}
            for name, curve in summary.get("series", {}).items()
        }
        return {"step": summary.get("step"), "series": series}

    def rows(self) -> list[Row]:
        """All that count, by step. Fetches what is new since the last call."""
        return self._rows.all()

    def tail(self, cursor: str = "") -> Tail:
        """Rows that were stored after ``cursor``, which came from another call; without one, all."""
        return self._rows.tail(cursor)

    def summary(self) -> Mapping[str, Any]:
        """As the job writes it; made of the rows while there is none. Empty where there are none either."""
        found = read_record(self.vault, self.layout.summary)
        if found is not None:
            return found
        rows = self.rows()
        return Summary(0, rows).to_dict() if rows else {}

    def view_of(self, listing: Listing, attempts: Sequence[AttemptInfo]) -> CheckpointsView:
        return CheckpointsView(listing, self._commits, attempts, self._native.all, self._exists, self._lifetime)

    def _exists(self, uri: str) -> bool:
        return self._store.stat(uri) is not None

    def _record(self, uri: str) -> Mapping[str, Any]:
        """Of an attempt. It never changes, so it is read once; empty where it cannot be read."""
        if uri not in self._records:
            found = read_record(self.vault, uri)
            if found is None:
                return {}
            self._records[uri] = found
        return self._records[uri]


class AsyncTrialReader:
    """As :class:`TrialReader`, for event loops: each call waits in a thread."""

    def __init__(self, store: Store, output_dir: str, *, lifetime: float | None = None) -> None:
        self.reader = TrialReader(store, output_dir, lifetime=lifetime)

    async def state(self) -> TrialState:
        return await asyncio.to_thread(self.reader.state)

    async def attempts(self) -> list[AttemptInfo]:
        return await asyncio.to_thread(self.reader.attempts)

    async def checkpoints(self) -> list[CheckpointInfo]:
        return await asyncio.to_thread(self.reader.checkpoints)

    async def latest(self) -> CheckpointInfo | None:
        return await asyncio.to_thread(self.reader.latest)

    async def best(self, metric: str, mode: str = "min") -> CheckpointInfo | None:
        return await asyncio.to_thread(self.reader.best, metric, mode)

    async def metrics(self, max_points: int | None = None) -> dict[str, Any]:
        return await asyncio.to_thread(self.reader.metrics, max_points)

    async def rows(self) -> list[Row]:
        return await asyncio.to_thread(self.reader.rows)

    async def tail(self, cursor: str = "") -> Tail:
        return await asyncio.to_thread(self.reader.tail, cursor)


def _thinned(points: Sequence[Any], most: int | None) -> list[Any]:
    if most is None or len(points) <= most:
        return list(points)
    kept = list(points[:: -(-len(points) // max(1, most))])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
