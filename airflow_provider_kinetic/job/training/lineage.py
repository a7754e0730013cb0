"""Which attempts led to the newest one, and how much of each still counts.

Every attempt says in its start record where it continued: the attempt before it, the step of the checkpoint,
and how many checkpoints of that attempt it saw. From these three follow, without a clock and without a lock, the
checkpoints and the rows that belong to the trial's story. What an attempt did after its successor had looked
(it lost its machine later than its network, say) is not part of it (``checkpointing`` 3.5, 3.6).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST = 100_000
"""Attempts of a story: one with a number that nobody reached by counting must not keep readers busy for ever."""
_NAME = re.compile(r"(\d{12,})-a(\d{4,})-(\d{4,})")


class Name(NamedTuple):
    """Of a checkpoint. Names sort by step."""

    step: int
    attempt: int
    seq: int
    """Counts the checkpoints of one attempt from 1."""

    def __str__(self) -> str:
        return f"{self.step:012d}-a{self.attempt:04d}-{self.seq:04d}"

    @property
    def age(self) -> tuple[int, int]:
        """Sorts in the order of saving."""
        return self.attempt, self.seq

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """None for what is not a checkpoint of ours, such as a step of Orbax."""
        match = _NAME.fullmatch(text)
        return cls(*map(int, match.groups())) if match else None


@dataclass(frozen=True)
class Origin:
    """Where an attempt continued. The beginning of all: attempt 0."""

    attempt: int = 0
    step: int | None = None
    """Of the checkpoint it found; None when there was none."""
    seen: int = 0
    """The highest ``seq`` of the former attempt's checkpoints."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Origin | None:
        """From a start record; None for one that could not be read."""
        parent = record.get("parent")
        if parent is None:
            return cls() if record.get("attempt") else None
        try:
            checkpoint = parent["checkpoint"]
            step = int(checkpoint["step"]) if checkpoint else None
            return cls(int(parent["attempt"]), step, int(parent.get("seq", 0)))
        except (TypeError, KeyError, ValueError):
            return None


@dataclass(frozen=True)
class Share:
    """What counts of one attempt: rows up to a step, checkpoints up to a step and a number."""

    rows: float = math.inf
    step: float = math.inf
    seq: float = math.inf


@dataclass(frozen=True)
class Lineage:
    """Attempts that count. The others were replaced before they could do anything that was seen."""

    shares: Mapping[int, Share] = field(default_factory=dict)

    @classmethod
    def of(cls, starts: Mapping[int, Mapping[str, Any]]) -> Lineage:
        """From the start records by number. One that cannot be read hides nothing of the attempt before it."""
        number, share = max(starts, default=0), Share()
        shares: dict[int, Share] = {}
        while number > 0 and len(shares) < MOST:
            shares[number] = share
            origin = Origin.of(starts.get(number, {})) or Origin(number - 1, seen=-1)
            if origin.attempt >= number:
                break  # no record of ours says so; a loop would never end
            share = _narrowed(share, origin)
            number = origin.attempt
        return cls(shares)

    def shows_row(self, attempt: int, step: int) -> bool:
        share = self.shares.get(attempt)
        return share is not None and step <= share.rows

    def shows(self, checkpoint: Name) -> bool:
        share = self.shares.get(checkpoint.attempt)
        return share is not None and checkpoint.step <= share.step and checkpoint.seq <= share.seq


def _narrowed(share: Share, origin: Origin) -> Share:
    """Of the attempt that was continued. ``seen`` counts only for that one: older ones were closed by it.

    An attempt that found no checkpoint may go on from a file of its own: where, only the steps say that it logs.
    """
    if origin.seen < 0:
        return Share(share.rows, share.step)
    if origin.step is None:
        return Share(share.rows, -math.inf, origin.seen)
    return Share(min(share.rows, origin.step), min(share.step, origin.step), origin.seen)
