"""What is told of a trial to people, pages and tasks: plain values, the same whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PENDING = "PENDING"
"""Nothing of it has started."""
RUNNING = "RUNNING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
PREEMPTED = "PREEMPTED"
"""Its machine was taken away; of a trial: and the next attempt has not begun."""
LOST = "LOST"
"""It was silent for :data:`SILENCE` seconds and has not said how it ended."""
SILENCE = 300.0

ACTIVE = "ACTIVE"
"""Files without a commit record, of an attempt that runs."""
ERROR = "ERROR"
"""Files without a commit record, of an attempt that is over; or the record cannot be used."""
DELETED = "DELETED"
"""Its deletion has begun."""
PARTIALLY_DELETED = "PARTIALLY_DELETED"
"""Committed, and files are missing."""


@dataclass(frozen=True)
class AttemptInfo:
    """One start of the trial. Times are Unix seconds by the clock of the store."""

    number: int
    job_id: str
    state: str
    """RUNNING, COMPLETED, FAILED, PREEMPTED or LOST."""
    reason: str = ""
    started: float = 0.0
    ended: float | None = None
    """None while it runs. Of one that vanished: its last trace."""
    resumed_from: Mapping[str, Any] | None = None
    """The checkpoint that was there at the start: ``step`` and ``uri``."""
    lost_seconds: float = 0.0
    """Work since the last checkpoint that was left at its end; nothing of an attempt that runs or ended well."""


@dataclass(frozen=True)
class CheckpointInfo:
    """One checkpoint, whatever became of it. Times are Unix seconds by the clock of the store."""

    name: str
    uri: str
    step: int
    attempt: int
    """That saved it; 0 where this is not known."""
    state: str
    """ACTIVE, COMPLETED, ERROR, DELETED or PARTIALLY_DELETED."""
    bytes: int = 0
    files: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What was given to ``save``."""
    created: float | None = None
    kind: str = "kinetic"
    """Or ``"orbax"``."""
    pinned: bool = False
    expires: float | None = None
    """When the store deletes the first of its files by age; None where it has no such rule."""


@dataclass(frozen=True)
class TrialState:
    """A trial in a few words."""

    state: str
    """PENDING, RUNNING, COMPLETED, FAILED, PREEMPTED or LOST."""
    attempt: int = 0
    """Number of the newest one."""
    attempts: int = 0
    """How many have lived."""
    preemptions: int = 0
    """How many lost their machine."""
    lost_seconds: float = 0.0
    step: int | None = None
    """The last one that is known to be done."""
    progress: float | None = None
    """From 0 to 1, as the code says."""
    status: str = ""
    """As the code says."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Last values by ``group/name``; NaN and infinities as in JSON."""
    heartbeat_age: float | None = None
    """Seconds since the last sign of life; None of one that does not run or gives none."""
    reason: str = ""
    """Why it ended."""

    def story(self) -> str:
        """``preempted 2 times, lost 40 s of work``; empty when nothing happened."""
        parts = []
        if self.preemptions:
            parts.append(f"preempted {self.preemptions} {'time' if self.preemptions == 1 else 'times'}")
        if self.lost_seconds >= 1 or self.preemptions:
            parts.append(f"lost {in_short(self.lost_seconds)} of work")
        return ", ".join(parts)


def in_short(seconds: float) -> str:
    """``40 s``, ``12 min``, ``1.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
