"""The order to a cluster: start this, under this name, at most so long.

It says what every platform must know and nothing of how one of them writes it down: the local cluster
runs the command as a process, the Kubernetes cluster renders it as a Job (``contract`` 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_kinetic.model.mounts import FuseMount


@dataclass(frozen=True)
class JobManifest:
    """Frozen and JSON-able, so that a finished one can wait in the store for whoever creates the job."""

    name: str
    """Name of the object; creating it twice is a conflict."""
    namespace: str
    job_id: str
    image: str
    command: tuple[str, ...]
    """argv; the first item ``python3`` means the image's interpreter."""
    accelerator: str
    spot: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    stop_grace: float = 30.0
    """Seconds between SIGTERM and SIGKILL."""
    active_deadline: float | None = None
    """Backstop in seconds from creation, over all attempts."""

    # What only a Kubernetes cluster has; each is left to the cluster where it is None or empty.
    service_account: str | None = None
    priority_class: str | None = None
    queue: str | None = None
    """LocalQueue of Kueue: the job waits suspended until the queue admits it."""
    requests: Mapping[str, str] = field(default_factory=dict)
    """Quantities by resource: ``cpu``, ``memory``, ``ephemeral-storage``."""
    secret_env: Mapping[str, str] = field(default_factory=dict)
    """Variables from Secrets that exist in the namespace: name → ``secret/key``."""
    fuse_mounts: tuple[FuseMount, ...] = ()
    """Buckets that are seen as folders: those of ``volumes=`` first, then arguments."""
    pod_override: Mapping[str, Any] = field(default_factory=dict)
    """Part of a pod template that is merged over ours: ``{"metadata": …, "spec": …}``."""
    debug: bool = False
    """Upstream's debugpy mode (contract 3.3)."""

    def to_dict(self) -> dict[str, Any]:
        mounts = [mount.to_dict() for mount in self.fuse_mounts]
        return {**asdict(self), "command": list(self.command), "fuse_mounts": mounts}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> JobManifest:
        mounts = tuple(FuseMount.from_dict(mount) for mount in raw.get("fuse_mounts", ()))
        return cls(**{**raw, "command": tuple(raw["command"]), "fuse_mounts": mounts})
