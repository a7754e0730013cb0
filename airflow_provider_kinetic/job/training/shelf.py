"""The checkpoints of a running trial: found, ranked, and kept to as few as its retention says."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint, Commits, in_parallel, survey
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.native import NativeSteps
from airflow_provider_kinetic.job.training.retention import Keep, Sweeper, delete, pins, ranked
from airflow_provider_kinetic.job.training.saving import Fence
from airflow_provider_kinetic.job.vaults import Vault


class Shelf:
    """What can be restored. Asked anew each time, because others may delete; records are read once."""

    def __init__(
        self,
        vault: Vault,
        layout: TrialLayout,
        fence: Fence,
        keep: Keep,
        starts: dict[int, Mapping[str, Any]],
        commits: Commits,
    ) -> None:
        self._vault = vault
        self._layout = layout
        self._fence = fence
        self._keep = keep
        self._commits = commits
        self._native = NativeSteps(vault, layout)
        self._starts = starts

    def add(self, name: Name, checkpoint: Checkpoint) -> None:
        """It was just committed."""
        self._commits.add(name, checkpoint)

    def look_ahead(self) -> None:
        """What the first restore needs, while the training gets ready. Trouble is for whoever asks."""
        with contextlib.suppress(Exception):
            last = self._visible()[-1]
            self._commits.add(last, self._commits.read(last))

    @property
    def expected(self) -> Checkpoint | None:
        """What :meth:`saved` most likely begins with, without asking the store."""
        return self._commits.known

    def saved(self) -> Iterator[Checkpoint]:
        """Ours, last one first; each is read when it is asked for.

        Then those that were saved meanwhile: whoever reads slowly may find that retention was faster.
        """
        told: set[Name] = set()
        while fresh := [name for name in self._visible() if name not in told]:
            told.update(fresh)
            yield from self._commits.newest(fresh)

    def all(self) -> list[Checkpoint]:
        """Ours and Orbax's, by step."""
        ours, native = self._commits.all(self._visible()), self._native.all()
        return sorted([*ours, *native], key=lambda each: each.step)

    def latest(self) -> Checkpoint | None:
        """The last one that was saved, or Orbax's where that is further."""
        looks: Sequence[Callable[[], Checkpoint | None]] = (
            lambda: next(self.saved(), None),
            lambda: next(reversed(self._native.all()), None),
        )
        ours, native = in_parallel(lambda look: look(), looks)
        if ours is None or (native is not None and native.step > ours.step):
            return native
        return ours

    def best(self, metric: str, mode: str) -> Checkpoint | None:
        """:raises ValueError: ``mode`` is neither ``"min"`` nor ``"max"``."""
        if mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
        return next(iter(ranked(self.all(), metric, mode)), None)

    def tidy(self) -> None:
        """Delete what need not be kept. Nothing in here may disturb the training: trouble is a warning."""
        try:
            checkpoints = self._commits.all(self._visible())
            doomed = self._keep.doomed(checkpoints, pins(self._vault, self._layout))
            if doomed and self._fence.holds():
                in_parallel(lambda name: delete(self._vault, self._layout, name), doomed)
        except Exception as error:
            warnings.warn(f"Old checkpoints of {self._layout.output_dir} could not be deleted: {error}", stacklevel=1)

    def sweep(self, attempt: int) -> None:
        """As :meth:`tidy`, of what earlier attempts left behind."""
        try:
            Sweeper(self._vault, self._layout, attempt).sweep(self._starts)
        except Exception as error:
            warnings.warn(f"{self._layout.output_dir} could not be cleared up: {error}", stacklevel=1)

    def _visible(self) -> list[Name]:
        seen = survey(self._vault, self._layout, self._starts)
        self._commits.only(seen.commits)
        return seen.visible()
