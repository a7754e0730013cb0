"""The rows that a trial has logged, as one story over all its attempts.

Every attempt writes its own rows and never touches those of others; what counts is decided here, when they are read
(``checkpointing`` 3.6). An attempt goes on from a checkpoint, so rows of earlier ones beyond its step do not count.
Code that goes on elsewhere, such as from a file of its own, shows it by the steps it logs: from its first step on its
rows replace those of earlier attempts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_kinetic.job.checkpoints import in_parallel, survey
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.lineage import Lineage
from airflow_provider_kinetic.job.numbers import as_json, as_number
from airflow_provider_kinetic.job.storage import ObjectMissing, Storage

POINTS = 1000
"""At most so many of one curve are in a summary."""


class Row(NamedTuple):
    """One call of ``log``."""

    time: float
    """Unix time by the clock of the machine."""
    step: int
    group: str
    values: Mapping[str, Any]
    """Numbers, bools and short texts; NaN and infinities as in JSON (``numbers``)."""

    def encode(self) -> bytes:
        content = {"t": round(self.time, 3), "s": self.step, "g": self.group, "m": as_json(self.values)}
        return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes) -> Iterator[Row]:
    """Rows of a segment. Lines that are not rows are passed over: a newer version may write others."""
    for line in data.splitlines():
        try:
            content = json.loads(line)
            yield Row(float(content["t"]), int(content["s"]), str(content["g"]), dict(content["m"]))
        except (ValueError, KeyError, TypeError):
            continue


def told(lineage: Lineage, written: Mapping[int, Sequence[Row]]) -> list[Row]:
    """Rows that count, by step, each once. ``written`` has them by attempt."""
    first_of: dict[str, float] = {}
    kept: list[Row] = []
    for attempt in sorted(lineage.shares, reverse=True):
        first = min(first_of.values(), default=math.inf)
        rows = [
            row
            for row in written.get(attempt, ())
            if lineage.shows_row(attempt, row.step)
            and row.step <= first
            and row.step < first_of.get(row.group, math.inf)
        ]
        for row in rows:
            first_of[row.group] = min(first_of.get(row.group, math.inf), row.step)
        kept += _once(rows)
    return sorted(kept, key=lambda row: row.step)


def _once(rows: Iterable[Row]) -> list[Row]:
    """Rows of one attempt: those of one group and step become one, in which the later value of a name counts."""
    merged: dict[tuple[str, int], Row] = {}
    for row in rows:
        before = merged.get((row.group, row.step))
        values = {**before.values, **row.values} if before else row.values
        merged[row.group, row.step] = row._replace(values=values)
    return list(merged.values())


def read_rows(storage: Storage, layout: TrialLayout) -> list[Row]:
    """All that count, of the first host of each attempt. Three round trips."""
    lineage = Lineage.of(survey(storage, layout).starts)
    segments: list[tuple[int, str]] = []
    for uri in storage.list(layout.metrics):
        folder, _, name = uri[len(layout.metrics) :].partition("/")
        number = folder[1:-3]
        if name.endswith(".jsonl") and folder.endswith("-p0") and number.isdecimal():
            segments.append((int(number), uri))
    wanted = [each for each in segments if each[0] in lineage.shares]
    written: dict[int, list[Row]] = {}
    for (attempt, _), rows in zip(wanted, in_parallel(lambda each: _segment(storage, each[1]), wanted)):
        written.setdefault(attempt, []).extend(rows)
    return told(lineage, written)


def _segment(storage: Storage, uri: str) -> list[Row]:
    try:
        return list(decode(storage.read(uri)))
    except ObjectMissing:
        return []


class Curve:
    """One name of one group: figures of all its values, and a thinned line to draw."""

    def __init__(self) -> None:
        self.count = 0
        self.last: Any = None
        self.least = math.inf
        self.most = -math.inf
        self._points: list[tuple[int, Any]] = []
        self._end: tuple[int, Any] = (0, None)
        self._stride = 1

    def add(self, step: int, value: Any) -> None:
        number = as_number(value)
        if number is not None and not math.isnan(number):
            self.least, self.most = min(self.least, number), max(self.most, number)
        self.last = value
        if self.count % self._stride == 0:
            self._points.append((step, value))
            if len(self._points) > POINTS // 2:
                self._points, self._stride = self._points[::2], self._stride * 2
        self.count += 1
        self._end = (step, value)

    def to_dict(self) -> dict[str, Any]:
        points = self._points if self._points[-1] == self._end else [*self._points, self._end]
        known = self.least <= self.most
        return {
            "count": self.count,
            "last": as_json(self.last),
            "min": as_json(self.least) if known else None,
            "max": as_json(self.most) if known else None,
            "points": as_json(points),
        }


class Summary:
    """Enough of a trial's rows for charts, in one small object."""

    def __init__(self) -> None:
        self._curves: dict[str, Curve] = {}
        self._step = 0

    def add(self, rows: Iterable[Row]) -> None:
        """In the order of steps."""
        for row in rows:
            self._step = max(self._step, row.step)
            for name, value in row.values.items():
                self._curves.setdefault(f"{row.group}/{name}", Curve()).add(row.step, value)

    def to_dict(self) -> dict[str, Any]:
        return {"step": self._step, "series": {name: curve.to_dict() for name, curve in sorted(self._curves.items())}}
