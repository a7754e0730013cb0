"""What became of each checkpoint of a trial, told by what is there of it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from airflow_provider_kinetic.job.training.checkpoints import KINETIC, ORBAX, Checkpoint, Commits, in_parallel
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.manifests import NAME as MANIFEST
from airflow_provider_kinetic.job.training.retention import ranked
from airflow_provider_kinetic.lifecycle.reader_facts import (
    ACTIVE,
    COMPLETED,
    DELETED,
    ERROR,
    PARTIALLY_DELETED,
    RUNNING,
    AttemptInfo,
    CheckpointInfo,
)
from airflow_provider_kinetic.lifecycle.reader_listing import Listing


class CheckpointsView:
    """Of one listing. Commit records are read as they are asked for, each once.

    :param native: gives Orbax's; asked only where the listing shows any.
    :param exists: asks the store whether a URI is there now.
    :param lifetime: seconds after which the store deletes an object; None where it does not.
    """

    def __init__(
        self,
        listing: Listing,
        commits: Commits,
        attempts: Sequence[AttemptInfo],
        native: Callable[[], Sequence[Checkpoint]],
        exists: Callable[[str], bool],
        lifetime: float | None = None,
    ) -> None:
        self._listing = listing
        self._commits = commits
        self._attempts = attempts
        self._ask_native = native
        self._exists = exists
        self._lifetime = lifetime
        self._visible = listing.survey.visible()

    def all(self) -> list[CheckpointInfo]:
        """By step. What is not part of the trial's story any more is left out until it is deleted."""
        hidden = self._listing.survey.commits - set(self._visible) - self._listing.tombstones
        found = {name for folder in self._listing.folders if (name := Name.parse(folder))}
        names = (found | self._listing.tombstones | set(self._visible)) - hidden
        ours = in_parallel(self._ours, sorted(names))
        return sorted([*ours, *map(self._native, self._steps)], key=lambda each: each.step)

    def latest(self, until: float = math.inf) -> CheckpointInfo | None:
        """The last one that is whole; Orbax's where that has more steps.

        :param until: what later attempts than this one saved does not count.
        """
        ours = next(self._whole(until), None)
        native = next((info for info in map(self._native, reversed(self._steps)) if info.attempt <= until), None)
        return native if native and (ours is None or native.step > ours.step) else ours

    def best(self, metric: str, mode: str) -> CheckpointInfo | None:
        """:raises ValueError: ``mode`` is neither ``"min"`` nor ``"max"``."""
        if mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
        candidates = sorted([*self.restorable(), *self._steps], key=lambda each: each.step)
        infos = map(self._info, ranked(candidates, metric, mode))
        return next((info for info in infos if info.state == COMPLETED), None)

    def restorable(self) -> list[Checkpoint]:
        """Ours, in the order of saving."""
        return self._commits.all(self._visible)

    @cached_property
    def _steps(self) -> Sequence[Checkpoint]:
        return self._ask_native() if self._listing.native else ()

    def _whole(self, until: float) -> Iterator[CheckpointInfo]:
        """Last first; each record is read when it is asked for."""
        counting = (name for name in self._visible if name.attempt <= until)
        likely = [name for name in counting if self._manifest(str(name)) in self._listing.infos]
        return (self._info(each) for each in self._commits.newest(likely) if self._complete(each))

    def _info(self, checkpoint: Checkpoint) -> CheckpointInfo:
        name = Name.parse(checkpoint.name)
        return self._native(checkpoint) if name is None else self._ours(name)

    def _ours(self, name: Name) -> CheckpointInfo:
        layout, text = self._listing.layout, str(name)
        files = self._listing.folders.get(text, [])
        record = self._commits.get(name) if name in self._visible else None
        made = self._listing.infos.get(layout.commit(text))
        return CheckpointInfo(
            name=text,
            uri=layout.data(text),
            step=name.step,
            attempt=name.attempt,
            state=self._state(name, record),
            bytes=record.bytes if record else sum(info.size for info in files),
            files=record.files if record else len(files),
            metadata=record.metadata if record else {},
            created=self._listing.written(made.uri, record and record.created) if made else None,
            kind=KINETIC,
            pinned=layout.pin(text) in self._listing.infos,
            expires=self._expires(text),
        )

    def _state(self, name: Name, record: Checkpoint | None) -> str:
        if name in self._listing.tombstones:
            return DELETED
        if name not in self._visible:
            newest = self._attempts[-1] if self._attempts else None
            alive = newest and newest.state == RUNNING and newest.number == name.attempt
            return ACTIVE if alive else ERROR
        if record and self._complete(record):
            return COMPLETED
        if not self._exists(self._listing.layout.commit(str(name))):
            return DELETED  # since it was listed
        return PARTIALLY_DELETED if record else ERROR

    def _complete(self, record: Checkpoint) -> bool:
        """By name and size, as far as a listing shows it; the bytes are verified when they are restored."""
        sizes = {info.uri: info.size for info in self._listing.folders.get(record.name, ())}
        manifest = sizes.pop(self._manifest(record.name), None)
        return manifest is not None and len(sizes) >= record.files and sum(sizes.values()) >= record.bytes

    def _manifest(self, name: str) -> str:
        return f"{self._listing.layout.data(name)}/{MANIFEST}"

    def _native(self, step: Checkpoint) -> CheckpointInfo:
        saved = self._listing.saved(step.name)
        begun = [attempt.started for attempt in self._attempts]
        index = bisect_right(begun, saved or 0.0) - 1
        return CheckpointInfo(
            name=step.name,
            uri=step.uri,
            step=step.step,
            attempt=self._attempts[index].number if index >= 0 else 0,
            state=COMPLETED,
            bytes=step.bytes,
            files=step.files,
            metadata=step.metadata,
            created=saved,
            kind=ORBAX,
            expires=self._expires(step.name),
        )

    def _expires(self, name: str) -> float | None:
        made = [info.created for info in self._listing.folders.get(name, ())]
        return min(made) + self._lifetime if made and self._lifetime is not None else None
