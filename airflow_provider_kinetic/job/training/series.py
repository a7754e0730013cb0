"""The rows that a trial has logged, as one story over all its attempts.

Every attempt writes its own rows and never touches those of others; what counts is decided here, when they are read
(``checkpointing`` 3.6). An attempt goes on from a checkpoint, so rows of earlier ones beyond its step do not count.
Code that goes on elsewhere, such as from a file of its own, shows it by the steps it logs: from the first step of a
name on, its values replace those of earlier attempts. Names are cut on their own: some count batches and others epochs,
and what is logged at step 0 of each attempt, such as a number of parameters, takes no curve away.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Entry, ObjectMissing
from airflow_provider_kinetic.job.training.checkpoints import in_parallel, survey
from airflow_provider_kinetic.job.training.lineage import Lineage
from airflow_provider_kinetic.job.training.numbers import as_json
from airflow_provider_kinetic.job.vaults import Vault

_SEGMENT = re.compile(r"a(\d+)-p0/[^/]+\.jsonl")
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


Cuts = dict[str, dict[str, float]]
"""By group and name: the first step of later attempts."""


class Row(NamedTuple):
    """One call of ``log``."""

    time: float
    """Unix time by the clock of the machine."""
    step: int
    group: str
    values: Mapping[str, Any]
    """Numbers, bools and short texts; NaN and infinities as in JSON (``numbers``)."""
    attempt: int = 0
    """The one that wrote it, where that is known."""

    def encode(self) -> bytes:
        """One line. This is what a call of ``log`` costs in a job, so it is done in one go."""
        try:
            values = _ENCODE(self.values)
        except ValueError:
            values = _ENCODE(as_json(self.values))
        return f'{{"t":{self.time:.3f},"s":{self.step},"g":{_ENCODE(self.group)},"m":{values}}}\n'.encode()


def decode(data: bytes, attempt: int = 0) -> Iterator[Row]:
    """Rows of a segment. Lines that are not rows are passed over: a newer version may write others."""
    for content in _parsed(data.splitlines()):
        try:
            group = sys.intern(str(content["g"]))
            yield Row(float(content["t"]), int(content["s"]), group, dict(content["m"]), attempt)
        except (ValueError, KeyError, TypeError):
            continue


def _parsed(lines: Sequence[bytes]) -> list[Any]:
    """All as one document, whose rows share their names in memory; one by one where a line is not JSON."""
    try:
        return list(json.loads(b"[%b]" % b",".join(lines)))
    except ValueError:
        if len(lines) == 1:
            return []
        return [content for line in lines for content in _parsed([line])]


def told(lineage: Lineage, written: Mapping[int, Sequence[Row]]) -> list[Row]:
    """Rows that count, by step, those of one group and step as one. ``written`` has them by attempt."""
    cuts: Cuts = {}
    kept: list[list[Row]] = []
    for attempt in sorted(lineage.shares, reverse=True):
        shown = (row for row in written.get(attempt, ()) if lineage.shows_row(attempt, row.step))
        rows = [left for row in shown if (left := _within(row, cuts))]
        _cut(cuts, rows)
        kept.append(rows)
    return sorted(_once(itertools.chain(*reversed(kept))), key=lambda row: row.step)


def _within(row: Row, cuts: Cuts) -> Row | None:
    """What later attempts have left of it; None: nothing."""
    first_of = cuts.get(row.group)
    if first_of is None or all(row.step <= first_of.get(name, row.step) for name in row.values):
        return row
    values = {name: value for name, value in row.values.items() if row.step <= first_of.get(name, row.step)}
    return row._replace(values=values) if values else None


def _cut(cuts: Cuts, rows: Iterable[Row]) -> None:
    """Attempts before the one that has logged these end where they begin."""
    for row in rows:
        first_of = cuts.setdefault(row.group, {})
        for name in row.values:
            if row.step < first_of.get(name, math.inf):
                first_of[name] = row.step


def _once(rows: Iterable[Row]) -> Iterable[Row]:
    """Rows of one group and step become one, in which the later value of a name counts."""
    merged: dict[tuple[str, int], Row] = {}
    for row in rows:
        before = merged.get((row.group, row.step))
        merged[row.group, row.step] = row._replace(values={**before.values, **row.values}) if before else row
    return merged.values()


class Segment(NamedTuple):
    """A part of what an attempt has written: whole lines."""

    attempt: int
    name: str
    data: bytes


class Segments:
    """What attempts have written, as bytes. Each look fetches only what is new.

    :param starts: start records that are known already.
    """

    def __init__(self, vault: Vault, layout: TrialLayout, starts: dict[int, Mapping[str, Any]] | None = None) -> None:
        self._vault = vault
        self._layout = layout
        self._starts = {} if starts is None else starts
        self._read: dict[str, int] = {}
        """Bytes by name of segment."""
        self.lineage = Lineage()
        """As it was at the last look."""

    def look(self) -> list[Segment]:
        """Of attempts that count, the first host's. Three round trips; two when nothing is new."""
        looks: list[Callable[[], Any]] = [
            lambda: survey(self._vault, self._layout, self._starts).starts,
            lambda: list(self._vault.tree(self._layout.metrics.rstrip("/"))),
        ]
        starts, entries = in_parallel(lambda look: look(), looks)
        self.lineage = Lineage.of(starts)
        grown = []
        for entry in entries:
            match = _SEGMENT.fullmatch(entry.name)
            if match and int(match[1]) in self.lineage.shares and entry.size > self._read.get(entry.name, 0):
                grown.append((int(match[1]), entry))
        return sorted(found for found in in_parallel(lambda each: self._fetch(*each), grown) if found)

    def _fetch(self, attempt: int, entry: Entry) -> Segment | None:
        """A segment only grows. What follows its last line end is left for the next time."""
        known = self._read.get(entry.name, 0)
        try:
            data = self._vault.tail(entry.uri, known) if known else self._vault.read(entry.uri)
        except ObjectMissing:
            return None
        end = data.rfind(b"\n") + 1
        self._read[entry.name] = known + end
        return Segment(attempt, entry.name, data[:end])


class Series:
    """Reads the rows of a trial as often as one likes: each time only what is new is fetched."""

    def __init__(self, vault: Vault, layout: TrialLayout) -> None:
        self._segments = Segments(vault, layout)
        self._written: dict[int, dict[str, list[Row]]] = {}
        """By attempt and name of segment."""

    def rows(self) -> list[Row]:
        """All that count. Three round trips; two when nothing is new."""
        for attempt, name, data in self._segments.look():
            self._written.setdefault(attempt, {}).setdefault(name, []).extend(decode(data, attempt))
        written = {
            attempt: [row for _, rows in sorted(segments.items()) for row in rows]
            for attempt, segments in self._written.items()
        }
        return told(self._segments.lineage, written)


def read_rows(vault: Vault, layout: TrialLayout) -> list[Row]:
    """All rows that count, once."""
    return Series(vault, layout).rows()


def stream_rows(vault: Vault, layout: TrialLayout, starts: dict[int, Mapping[str, Any]] | None = None) -> Iterator[Row]:
    """The rows of :func:`read_rows`, without ever holding them all: what a training loop has no room for.

    They come attempt by attempt, as they were logged; two of one group and step in one attempt stay two.
    """
    source = Segments(vault, layout, starts)
    segments = source.look()
    written: dict[int, list[bytes]] = {}
    for attempt, name, data in segments:
        before = written.setdefault(attempt, [])
        before.append(_missing(data, before) if "/rest-" in name else data)
    return followed(source.lineage, written)


def _missing(rest: bytes, written: Sequence[bytes]) -> bytes:
    """Lines that the worker's supervisor sent for it, without those that the worker has sent itself after all."""
    lines = dict.fromkeys(rest.splitlines(keepends=True))
    for data in written:
        for line in data.splitlines(keepends=True):
            lines.pop(line, None)
    return b"".join(lines)


def followed(lineage: Lineage, written: Mapping[int, Sequence[bytes]]) -> Iterator[Row]:
    """As :func:`told`. Where one attempt takes over from another, both may have a row of the same step: it is one."""
    attempts = sorted(lineage.shares.keys() & written.keys())
    cuts: Cuts = {}
    cuts_of: dict[int, Cuts] = {}

    def counting(attempt: int) -> Iterator[Row]:
        rows = itertools.chain.from_iterable(decode(data, attempt) for data in written[attempt])
        shown = (row for row in rows if lineage.shows_row(attempt, row.step))
        return (left for row in shown if (left := _within(row, cuts_of[attempt])))

    for attempt in reversed(attempts):
        cuts_of[attempt] = {group: dict(first_of) for group, first_of in cuts.items()}
        _cut(cuts, counting(attempt) if attempt > attempts[0] else ())
    held: dict[tuple[str, int], Row] = {}
    for attempt in attempts:
        for row in counting(attempt):
            before = held.pop((row.group, row.step), None)
            known = row._replace(values={**before.values, **row.values}) if before else row
            if row.step in cuts_of[attempt].get(row.group, {}).values():
                held[row.group, row.step] = known
            else:
                yield known
