"""The port to machines: something that runs a manifest and says how it goes.

Semantics are those of a Kubernetes Job whatever stands behind it: one object per name, deletion ends
the process with SIGTERM, grace, SIGKILL, a preempted attempt is started again under the same object,
and the object stays, finished, until it is deleted or expires.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.status import JobStatus


class JobExists(Exception):
    """An object of that name is there already. An outcome that callers handle (they adopt it)."""


class ClusterRefused(ClusterError):
    """The cluster has answered, and does not let this identity do it: asking again changes nothing by itself."""


@dataclass(frozen=True)
class JobSummary:
    """One live object in a listing."""

    name: str
    job_id: str
    status: JobStatus
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    """Empty where the cluster has no namespaces."""
    images: tuple[str, ...] = ()
    """What its containers run in."""


class Cluster(Protocol):
    """Runs jobs. Every method raises ``ClusterError`` when the cluster fails or refuses."""

    def create(self, manifest: JobManifest, *, secrets: Mapping[str, str] | None = None) -> None:
        """Start it. ``secrets`` are environment variables that no listing or file readable by others may show.

        :raises JobExists: an object of that name exists, whatever its state.
        :raises ConfigurationError: the cluster says that the manifest is not valid.
        :raises QuotaExceeded: the cluster takes no more objects of the caller.
        """

    def status(self, handle: JobHandle) -> JobStatus:
        """State of the object; ``NOT_FOUND`` when there is none."""

    def annotations(self, handle: JobHandle) -> Mapping[str, str] | None:
        """What the object says of itself; None when there is none."""

    def delete(self, handle: JobHandle, *, wait: float = 0.0) -> bool:
        """Stop what runs and remove the object; idempotent.

        ``wait`` is the longest time in seconds to wait for the machine to have ended; True when it has.
        """

    def tail(self, handle: JobHandle, lines: int = 100) -> str:
        """Last output of the newest attempt, straight from the machine; empty when it is gone."""

    def list(self, *, everywhere: bool = False) -> list[JobSummary]:
        """Every live object of this cluster and namespace, newest first.

        :param everywhere: of all namespaces that the caller may list; of this one alone where that cannot be found out.
        """

    def check(self) -> str:
        """One line of what was found when all is well (for the connection test).

        :raises ClusterError: with the cause and advice.
        """


class Subscription(Protocol):
    """One job that is followed from an event loop, together with all others that are followed there."""

    async def status(self) -> JobStatus:
        """The job's state from memory, asked for only where memory cannot know it.

        :raises ClusterError: the cluster has not answered for so long that nothing is known.
        """

    async def changed(self, longest: float | None = None) -> None:
        """Wait until the job has changed since the last :meth:`status`, at most ``longest`` seconds."""


class Watcher(Protocol):
    """What a cluster that tells of changes offers to an event loop; one without it is polled."""

    def follow(self, handle: JobHandle) -> AbstractAsyncContextManager[Subscription] | None:
        """Follow a job; None for one that has to be polled. Nothing in here blocks the event loop."""
