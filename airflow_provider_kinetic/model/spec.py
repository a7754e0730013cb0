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

from airflow_provider_kinetic.model.data import Data

_VOLATILE = frozenset({"startup_timeout", "run_timeout", "stop_grace", "stall_timeout", "max_preemptions", "labels"})


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
    stall_timeout: float | None = None
    max_preemptions: int = 10
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Data] = field(default_factory=dict)
    """Data by the path where the job finds it. As it was named: what lies in a folder may change between tries."""

    # What only a Kubernetes cluster has; ``JobManifest`` says what each means.
    service_account: str | None = None
    """None: the connection's."""
    queue: str | None = None
    """None: the connection's."""
    priority_class: str | None = None
    requests: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    pod_override: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 hex over the canonical JSON of what was asked for, without values that a retry may change.

        Timeouts and labels may be edited between tries while the old job runs; the job stays the same one. Where a
        job is queued and what it gets counts: who edits that must hear that the old job does not have it. Values
        that nobody gave do not enter, so a later version with more parameters computes the same.
        """
        default = asdict(JobSpec(func_name=""))
        stable = {key: value for key, value in asdict(self).items() if key not in _VOLATILE and value != default[key]}
        return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()
