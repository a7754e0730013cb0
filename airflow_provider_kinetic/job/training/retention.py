"""Which checkpoints go, and how they go.

What is kept is a decision over values, made after each commit and tested without a store. A deletion can be broken off
at any point: a tombstone says that it has begun and hides the checkpoint from readers, and who finds one later
finishes it (``checkpointing`` 3.7).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Entry, Storage
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint, deleted, names_of, survey
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.numbers import as_number
from airflow_provider_kinetic.job.vaults import Vault, below

DAY = 86_400 * 10**9
"""Nanoseconds."""
ASIDE = 7 * DAY
"""So long are checkpoints kept that do not belong to the trial's story any more."""
OLD = 20 * DAY
"""Older objects are made anew: buckets of jobs delete at 30 days."""

Best = Union[str, "tuple[str, int, str]"]


@dataclass(frozen=True)
class Keep:
    """What retention leaves; the union of all. Pinned checkpoints and the last one are never deleted."""

    latest: int = 2
    """So many of the last ones; at least 1."""
    best: Best | None = None
    """``"loss"``, or ``("accuracy", 3, "max")``: by this metadata, how many, and which way is better."""
    every: int | None = None
    """The first one of each so many steps, for ever."""

    def __post_init__(self) -> None:
        whole = self.best is None or isinstance(self.best, str) or len(self.best) == 3
        counts = self.latest >= 1 and (self.every is None or self.every >= 1)
        if not (whole and counts and self.ranking[0] >= 0 and self.ranking[1] in ("min", "max")):
            raise ValueError(f"{self}: latest and every are at least 1, best is ('name', count, 'min' or 'max')")

    @property
    def ranking(self) -> tuple[int, str]:
        """How many of the best, and the way."""
        if self.best is None or isinstance(self.best, str):
            return 1, "min"
        return int(self.best[1]), self.best[2]

    def spared(self, checkpoints: Sequence[Checkpoint]) -> set[str]:
        """Names, of checkpoints in the order of saving."""
        kept = list(checkpoints[-self.latest :])
        if self.best is not None:
            metric = self.best if isinstance(self.best, str) else self.best[0]
            count, way = self.ranking
            kept += ranked(checkpoints, metric, way)[:count]
        if self.every is not None:
            kept += {each.step // self.every: each for each in reversed(checkpoints)}.values()
        return {each.name for each in kept}

    def doomed(self, checkpoints: Sequence[Checkpoint], pins: Collection[str]) -> list[str]:
        """Names to delete, oldest first."""
        spared = self.spared(checkpoints)
        return [each.name for each in checkpoints if each.name not in spared and each.name not in pins]


def ranked(checkpoints: Sequence[Checkpoint], metric: str, way: str = "min") -> list[Checkpoint]:
    """Best first; the later of equals. Those without such a number, or with NaN, are left out."""
    values = [as_number(each.metadata.get(metric)) for each in checkpoints]
    sign = -1.0 if way == "max" else 1.0
    order = sorted(
        (sign * value, -index) for index, value in enumerate(values) if value is not None and not math.isnan(value)
    )
    return [checkpoints[-index] for _, index in order]


def delete(vault: Vault, layout: TrialLayout, name: str) -> None:
    """From now on nobody sees it; what remains when this is broken off is finished by the next attempt."""
    vault.write(layout.tombstone(name), json.dumps({"v": protocol.VERSION, "name": name}).encode())
    vault.delete(layout.commit(name))
    vault.delete_tree(layout.data(name))
    vault.delete(layout.pin(name))
    vault.delete(layout.tombstone(name))


def pin(vault: Vault, checkpoint: Checkpoint) -> None:
    """:raises CheckpointCorrupt: its deletion has begun. Looked at when the pin is there: a later one sees it."""
    layout, name = checkpoint.layout, checkpoint.name
    vault.write(layout.pin(name), b"")
    if vault.entry(layout.tombstone(name)) is not None or vault.entry(layout.commit(name)) is None:
        vault.delete(layout.pin(name))
        raise deleted(checkpoint)


def pins(storage: Storage, layout: TrialLayout) -> set[str]:
    return {uri.rpartition("/")[2] for uri in storage.list(layout.pins)}


class Sweeper:
    """Clears up behind earlier attempts, once, when an attempt begins."""

    def __init__(self, vault: Vault, layout: TrialLayout, attempt: int) -> None:
        self._vault = vault
        self._layout = layout
        self._attempt = attempt

    def sweep(self, starts: dict[int, Mapping[str, Any]]) -> None:
        """Deletions that were broken off, data that nobody committed, and what has been aside for a week.

        :param starts: start records that are known already.
        """
        seen = survey(self._vault, self._layout, starts)
        pinned = pins(self._vault, self._layout)
        for name in [*seen.tombstones, *self._aside(seen.commits - set(seen.visible()), pinned)]:
            delete(self._vault, self._layout, str(name))
        for name in self._data() - seen.commits:
            if name.attempt < self._attempt:
                self._vault.delete_tree(self._layout.data(str(name)))

    def _aside(self, hidden: Collection[Name], pinned: Collection[str]) -> Iterator[Name]:
        """By the store's clock alone: how much older than this attempt's own record."""
        if not hidden:
            return
        begun = self._updated(self._layout.attempts, f"{self._attempt:04d}.json")
        for entry in self._vault.tree(self._layout.commits.rstrip("/")):
            found = names_of([entry.uri])
            if found & set(hidden) and entry.updated < begun - ASIDE:
                yield from (name for name in found if str(name) not in pinned)

    def _data(self) -> frozenset[Name]:
        found = (Name.parse(name) for name in self._vault.folders(self._layout.checkpoints))
        return frozenset(name for name in found if name)

    def _updated(self, prefix: str, name: str) -> int:
        entries = self._vault.tree(prefix.rstrip("/"))
        return next((entry.updated for entry in entries if entry.name == name), 0)


def refresh(vault: Vault, layout: TrialLayout, kept: Collection[str], now: int) -> None:
    """Make old records and the data of ``kept`` checkpoints young again, in place: a bucket counts age from creation.

    :param now: Unix time in nanoseconds by the store's clock.
    """
    folders = [layout.records, *(layout.data(name) for name in kept)]
    for folder in folders:
        for entry in vault.tree(folder):
            if not entry.is_folder and entry.updated < now - OLD and not _elsewhere(entry, layout):
                vault.renew(entry.uri)


def _elsewhere(entry: Entry, layout: TrialLayout) -> bool:
    """Of single jobs: logs and results, which may go with their age."""
    return entry.uri.startswith(below(layout.records, "jobs/"))
