"""The rows of a trial for those who follow it: all at once, and then only what is new."""

from __future__ import annotations

import re
from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.job.training.checkpoints import in_parallel
from airflow_provider_kinetic.job.training.series import Row, Segments, Series, decode, told
from airflow_provider_kinetic.stores.vault import StoreVault

_START = re.compile(r"(\d+)\.json")
_SEGMENT = re.compile(r"a(\d+)-p0/.+\.jsonl")
_CURSOR = re.compile(r"(\d+):(\d+):(-?\d+):(.*)")


class Tail(NamedTuple):
    """Rows since a cursor."""

    rows: list[Row]
    """As they were logged. One of a group and step that is known replaces the known values of the same names."""
    cursor: str
    """For the next time, with any reader of the trial."""
    fresh: bool
    """These are all rows: forget those that are known. So at first, after another attempt has begun, and when its rows
    replace some."""


class RowsReader:
    """Safe for threads."""

    def __init__(self, vault: StoreVault, layout: TrialLayout) -> None:
        self._vault = vault
        self._layout = layout
        self._series = Series(vault, layout)
        self._reading = Lock()
        self._starts: dict[int, Mapping[str, Any]] = {}

    def all(self) -> list[Row]:
        """Those that count, by step. Fetches what is new since the last call."""
        with self._reading:
            return self._series.rows()

    def tail(self, cursor: str) -> Tail:
        """Nothing is remembered here of who asked: where one is says the cursor."""
        starts, segments = in_parallel(self._vault.list, (self._layout.attempts, self._layout.metrics))
        place = _Place.parse(cursor)
        if place is None or place.attempt != self._newest(starts):
            return self._whole()
        rows: list[Row] = []
        before = place.inherited
        for uri in segments:
            name = uri[len(self._layout.metrics) :]
            match = _SEGMENT.fullmatch(name)
            if match and int(match[1]) == place.attempt and name >= place.segment:
                found, place = self._after(place, name)
                rows += found
        if any(row.step <= before for row in rows):
            return self._whole()
        return Tail(rows, str(place), fresh=False)

    def _newest(self, uris: list[str]) -> int:
        found = (_START.fullmatch(uri[len(self._layout.attempts) :]) for uri in uris)
        return max((int(match[1]) for match in found if match), default=0)

    def _whole(self) -> Tail:
        source = Segments(self._vault, self._layout, self._starts)
        found = source.look()
        written: dict[int, list[Row]] = {}
        for attempt, _, data in found:
            written.setdefault(attempt, []).extend(decode(data, attempt))
        rows, newest = told(source.lineage, written), max(source.lineage.shares, default=0)
        place = _Place(newest, "", 0, max((row.step for row in rows if row.attempt < newest), default=-1))
        if found and found[-1].attempt == place.attempt:
            place = place._replace(segment=found[-1].name, bytes=len(found[-1].data))
        return Tail(rows, str(place), fresh=True)

    def _after(self, place: _Place, segment: str) -> tuple[list[Row], _Place]:
        """Whole lines alone: the rest of one comes the next time."""
        known = place.bytes if segment == place.segment else 0
        try:
            data = self._vault.tail(f"{self._layout.metrics}{segment}", known)
        except ObjectMissing:
            return [], place
        end = data.rfind(b"\n") + 1
        return list(decode(data[:end], place.attempt)), place._replace(segment=segment, bytes=known + end)


class _Place(NamedTuple):
    """Where somebody has read to: in a segment of the newest attempt."""

    attempt: int
    segment: str
    bytes: int
    inherited: int
    """The last step that is known of earlier attempts: rows up to there may replace some; below 0 where none is."""

    def __str__(self) -> str:
        return f"{self.attempt}:{self.bytes}:{self.inherited}:{self.segment}"

    @classmethod
    def parse(cls, cursor: str) -> _Place | None:
        """None for what is no cursor: one begins anew."""
        match = _CURSOR.fullmatch(cursor)
        return cls(int(match[1]), match[4], int(match[2]), int(match[3])) if match else None
