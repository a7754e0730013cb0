"""The state of a job, as one value that every reader shares.

The words are upstream's (``contract`` 8.1), so that a status printed by either client means the same.
Times are Unix seconds by the clock of whoever runs the job (the API server, this machine's kernel),
never by the observer's: a late observer must not time out a healthy job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """``NOT_FOUND`` is terminal: the object is gone, perhaps with a result in the store."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    NOT_FOUND = "NOT_FOUND"

    @property
    def terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.NOT_FOUND)


class Reason(StrEnum):
    """Why a job is where it is: a stable word. People read ``JobStatus.message``."""

    NONE = ""
    QUEUED = "Queued"
    STARTING = "Starting"
    RESTARTING = "Restarting"
    USER_CODE = "UserCode"
    KILLED = "Killed"
    OUT_OF_MEMORY = "OutOfMemory"
    EVICTED = "Evicted"
    PREEMPTION_BUDGET = "PreemptionBudgetSpent"
    STALLED = "Stalled"
    DEADLINE = "DeadlineExceeded"
    UNSCHEDULABLE = "Unschedulable"
    SCALING = "ScalingUp"
    QUOTA = "Quota"
    ADMISSION = "Admission"
    SERVICE_ACCOUNT = "ServiceAccount"
    CONTAINER = "ContainerConfiguration"
    IMAGE = "Image"
    PREEMPTED = "Preempted"
    VANISHED = "Vanished"
    CANCELLED = "Cancelled"


@dataclass(frozen=True)
class JobStatus:
    """What the cluster says of a job at one moment."""

    state: JobState
    reason: Reason = Reason.NONE
    message: str = ""
    exit_code: int | None = None
    attempts: int = 0
    """Machines on which the job was started so far."""
    preemptions: int = 0
    created_at: float | None = None
    started_at: float | None = None
    """First time RUNNING, over all attempts."""
    finished_at: float | None = None
    server_time: float | None = None
    """The server's clock when this was read."""
    stopping: bool = False
    """Deletion was asked for and the machine still ends."""
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``{"result.pkl": {"sha256", "size"}}`` from the termination message; empty where none was reported."""

    def knowing(self, objects: Mapping[str, Mapping[str, Any]]) -> JobStatus:
        """The same with these reports of results, where it has none of its own."""
        return self if self.objects else replace(self, objects=objects)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: events, XCom and the CLI carry this."""
        objects = {name: dict(one) for name, one in self.objects.items()}
        return {**vars(self), "objects": objects, "state": self.state.value, "reason": self.reason.value}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> JobStatus:
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        return cls(**{**known, "state": JobState(raw["state"]), "reason": Reason(raw.get("reason", ""))})
