"""How one start ended, in words that survive the process: the worker tells its supervisor, the supervisor the platform.

Plain JSON. The value or exception itself is in the result object; this says only what became of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.redaction import redact

SUCCESS = "success"
FAILURE = "failure"
PREEMPTED = "preempted"
STALLED = "stalled"
BUDGET_SPENT = "budget_spent"

_STATES = {
    SUCCESS: "COMPLETED",
    FAILURE: "FAILED",
    STALLED: "FAILED",
    PREEMPTED: "PREEMPTED",
    BUDGET_SPENT: "BUDGET_SPENT",
}


@dataclass(frozen=True)
class Report:
    """``outcome`` is one of the words above, ``objects`` as in the termination message."""

    outcome: str
    phase: str
    exit_code: int
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reason: str = ""
    error: Mapping[str, str] | None = None
    """``type`` and ``text``."""

    @property
    def state(self) -> str:
        """Word of the attempt's end record."""
        return _STATES[self.outcome]

    def redacted(self, environ: Mapping[str, str]) -> Report:
        """Fit to be kept: no values of secret variables."""
        error = self.error and {name: redact(text, environ) for name, text in self.error.items()}
        return replace(self, reason=redact(self.reason, environ), error=error)

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Report | None:
        """None when the process ended before it could say anything."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    @classmethod
    def preempted(cls, phase: str, reason: str = "") -> Report:
        return cls(PREEMPTED, phase, protocol.EXIT_PREEMPTED, reason=reason or "stopped on request (SIGTERM)")

    @classmethod
    def stalled(cls, phase: str, reason: str) -> Report:
        return cls(STALLED, phase, protocol.EXIT_STALLED, reason=reason, error={"type": "stalled", "text": reason})
