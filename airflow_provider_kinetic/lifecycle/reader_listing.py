"""What lies under an output directory at one moment: names and times, and the records that say who started and how
it ended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.checkpoints import Survey, names_of
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.steps import Checkpoint as NativeStep
from airflow_provider_kinetic.job.training.steps import parts, steps_among
from airflow_provider_kinetic.stores.base import ObjectInfo

DAY = 86_400.0

_ATTEMPT = re.compile(r"(\d+)(\.end)?\.json")
_OF_ATTEMPT = re.compile(r"a(\d+)-p\d+\b")


@dataclass(frozen=True)
class Listing:
    """``infos`` by URI, ``records`` those of the attempts by URI, ``now`` by the clock of the store."""

    layout: TrialLayout
    infos: Mapping[str, ObjectInfo]
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    heartbeat: Mapping[str, Any] = field(default_factory=dict)
    now: float = 0.0

    @cached_property
    def starts(self) -> dict[int, Mapping[str, Any]]:
        """By number; empty for one that cannot be read."""
        return self._numbered(end=False)

    @cached_property
    def ends(self) -> dict[int, Mapping[str, Any]]:
        return self._numbered(end=True)

    @cached_property
    def survey(self) -> Survey:
        return Survey(self.starts, names_of(self._under(self.layout.commits)), self.tombstones)

    @cached_property
    def tombstones(self) -> frozenset[Name]:
        return names_of(self._under(self.layout.tombstones))

    @cached_property
    def native(self) -> list[NativeStep]:
        """Steps of Orbax, lowest first."""
        return steps_among(self.infos, self.layout)

    @cached_property
    def folders(self) -> dict[str, list[ObjectInfo]]:
        """Files of checkpoints by the name of their folder, finished or not."""
        found: dict[str, list[ObjectInfo]] = {}
        for uri, info in self.infos.items():
            _, name, rest = parts(uri, self.layout)
            if rest:
                found.setdefault(name, []).append(info)
        return found

    @property
    def has_metrics(self) -> bool:
        return any(uri.startswith(self.layout.metrics) for uri in self.infos)

    def saved(self, name: str) -> float | None:
        """When a checkpoint, of ours or Orbax's, was complete."""
        record = self.infos.get(self.layout.commit(name))
        if Name.parse(name):
            return record.updated if record else None
        return max((info.updated for info in self.folders.get(name, ())), default=None)

    def last_trace(self, number: int) -> float:
        """When the last record was written that an attempt is known to have written. Files of checkpoints say nothing:
        where they are shared as links, every other link makes them young."""
        mine = [self.updated(self.layout.attempt(number)), self.beaten(number)]
        mine += [self.updated(uri) for uri in self._under(self.layout.records) if _attempt_of(uri) == number]
        return max(when for when in mine if when is not None)

    def beaten(self, number: int) -> float | None:
        """When an attempt gave its last sign of life; None where it is not the one that gave the last of all."""
        return self.updated(self.layout.heartbeat) if self.heartbeat.get("attempt") == number else None

    def updated(self, uri: str) -> float | None:
        info = self.infos.get(uri)
        return None if info is None else info.updated

    def written(self, uri: str, stated: Any) -> float | None:
        """When a record was. One that retention made young again is as old as it ``stated``."""
        when = self.updated(uri)
        said = _parsed(stated)
        return said if when is not None and said is not None and when > said + DAY else when

    def _numbered(self, *, end: bool) -> dict[int, Mapping[str, Any]]:
        found = (
            (_ATTEMPT.fullmatch(uri[len(self.layout.attempts) :]), uri) for uri in self._under(self.layout.attempts)
        )
        return {int(match[1]): self.records.get(uri, {}) for match, uri in found if match and bool(match[2]) == end}

    def _under(self, prefix: str) -> Iterable[str]:
        return [uri for uri in self.infos if uri.startswith(prefix)]


def _attempt_of(uri: str) -> int | None:
    """Of a record that an attempt itself wrote: commits, rows and notices; not of deletions, which others may do."""
    kind, _, rest = uri.partition("/.kinetic/")[2].partition("/")
    if kind == "checkpoints" and (name := Name.parse(rest.removesuffix(".json"))):
        return name.attempt
    match = _OF_ATTEMPT.match(rest) if kind in ("metrics", "preempt") else None
    return int(match[1]) if match else None


def _parsed(stated: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(stated)).timestamp()
    except ValueError:
        return None
