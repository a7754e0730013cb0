"""What to run: everything a submission asks for, apart from where and under which id.

Frozen, plain and hashable to a digest, so that a later try can tell whether the job it finds is the
one that it would have submitted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class TaskIdentity:
    """Which task instance a job belongs to. ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    try_number: int = 1


@dataclass(frozen=True)
class JobSpec:
    """Names and meanings of the first block are upstream's (contract 1.2, 6.4)."""

    func_name: str
    accelerator: str = "tpu-v5e-1"
    container_image: str | None = None
    base_image_repo: str | None = None
    backend: str | None = None
    spot: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    """Captured and given variables that are no secrets."""

    requirements: str | None = None
    """Filtered requirements text; None where the image brings everything."""
    result_format: str = "pickle"
    startup_timeout: float | None = None
    run_timeout: float | None = None
    stop_grace: float = 30.0
    max_preemptions: int = 10
    labels: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 hex over the canonical JSON of the spec, without values that a retry may change.

        Timeouts and labels may be edited between tries while the old job runs; the job stays the same one.
        """
        volatile = {"startup_timeout", "run_timeout", "stop_grace", "max_preemptions", "labels"}
        stable: dict[str, Any] = {key: value for key, value in asdict(self).items() if key not in volatile}
        return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()
