"""Which checkpoints of a finished trial go, by the same rule as in the job (``checkpointing`` 3.7).

Only whole ones are counted and thinned out, so the last one that can be restored stays whatever is said. Nobody sweeps
behind a trial that does not run any more: what a crash left half saved or half deleted goes too. A checkpoint that
somebody else has damaged stays; what is left of it may be worth something.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_kinetic.job.training.checkpoints import KINETIC, Checkpoint
from airflow_provider_kinetic.job.training.retention import Keep, delete
from airflow_provider_kinetic.lifecycle.reader import TrialReader, View
from airflow_provider_kinetic.lifecycle.reader_facts import (
    ACTIVE,
    COMPLETED,
    DELETED,
    PREEMPTED,
    RUNNING,
    CheckpointInfo,
)
from airflow_provider_kinetic.model.errors import ConfigurationError


@dataclass(frozen=True)
class Judged:
    """One checkpoint, whether it goes, and why or why not."""

    checkpoint: CheckpointInfo
    due: bool
    why: str


def judge_checkpoints(view: View, keep: Keep, older_than: float | None = None) -> list[Judged]:
    """By step. ``older_than`` in seconds, by the store's clock: younger ones stay."""
    found = view.checkpoints.all()
    whole = {each.name for each in found if each.state == COMPLETED and each.kind == KINETIC}
    counted = [each for each in view.checkpoints.restorable() if each.name in whole]
    pinned = {each.name for each in found if each.pinned}
    doomed = set(keep.doomed(counted, pinned))
    return [_judge(view, each, doomed, _before(view, older_than), counted[-1:]) for each in found]


def _before(view: View, older_than: float | None) -> float:
    return math.inf if older_than is None else view.listing.now - older_than


def prune(reader: TrialReader, judged: list[Judged]) -> Iterator[Judged]:
    """Delete what is due, one after the other; each is given back once it is gone. Raises what the store raises."""
    for each in judged:
        if each.due:
            delete(reader.vault, reader.layout, each.checkpoint.name)
            yield each


def check_finished(view: View) -> None:
    """:raises ConfigurationError: the trial runs, or will go on by itself."""
    newest = view.state()
    if newest.state in (RUNNING, PREEMPTED):
        raise ConfigurationError(
            f"The trial is {newest.state}: its job keeps what `keep=` of job.trial() says, and may be saving now.",
            advice="Wait for its end, or repeat with `--force` if no job works on it any more.",
        )


def _judge(view: View, info: CheckpointInfo, doomed: set[str], before: float, last: list[Checkpoint]) -> Judged:
    if info.kind != KINETIC:
        return Judged(info, due=False, why="Orbax's own")
    if info.state != COMPLETED:
        return _judge_remains(info, committed=view.listing.layout.commit(info.name) in view.listing.infos)
    if info.pinned:
        return Judged(info, due=False, why="pinned")
    if [each.name for each in last] == [info.name]:
        return Judged(info, due=False, why="the last one")
    if info.name not in doomed:
        return Judged(info, due=False, why="asked to be kept")
    if info.created is None or info.created > before:
        return Judged(info, due=False, why="too young")
    return Judged(info, due=True, why="nothing keeps it")


def _judge_remains(info: CheckpointInfo, *, committed: bool) -> Judged:
    if info.state == DELETED:
        return Judged(info, due=True, why="its deletion was broken off")
    if info.state == ACTIVE:
        return Judged(info, due=False, why="being saved")
    if committed:
        return Judged(info, due=False, why="damaged by others")
    return Judged(info, due=True, why="never completed")
