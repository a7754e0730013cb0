"""One pod as a noun: the newest of a Job's pods is its present attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.job import CONTAINER
from airflow_provider_kinetic.model.kubernetes.objects import condition, entries, moment, section, text, whole


@dataclass(frozen=True)
class Pod:
    """A view of the v1 Pod in ``raw``."""

    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        return text(self.raw, "metadata", "name")

    @property
    def phase(self) -> str:
        return text(self.raw, "status", "phase")

    @property
    def created(self) -> float:
        return moment(self.raw, "metadata", "creationTimestamp") or 0.0

    @property
    def deleting(self) -> bool:
        return bool(text(self.raw, "metadata", "deletionTimestamp"))

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def node(self) -> str:
        return text(self.raw, "spec", "nodeName")

    @cached_property
    def disruption(self) -> str:
        """Why the pod was or is being taken away; empty where it was not."""
        found = condition(self.raw, "DisruptionTarget")
        return "" if found is None else text(found, "reason") or "disrupted"

    @property
    def unscheduled(self) -> str:
        """What the scheduler says while it finds no node; empty where it found one or did not look yet."""
        for one in entries(self.raw, "status", "conditions"):
            if text(one, "type") == "PodScheduled" and text(one, "status") == "False":
                return " ".join(text(one, "message").split()) or text(one, "reason") or "not scheduled yet"
        return ""

    @property
    def container(self) -> Mapping[str, Any]:
        """Specification of the worker."""
        return _worker(entries(self.raw, "spec", "containers"))

    @cached_property
    def container_status(self) -> Mapping[str, Any]:
        return _worker(entries(self.raw, "status", "containerStatuses"))

    @property
    def waiting(self) -> Mapping[str, Any]:
        """Of the first container that cannot start, init containers included: ``reason`` and ``message``."""
        statuses = [
            *entries(self.raw, "status", "initContainerStatuses"),
            self.container_status,
            *entries(self.raw, "status", "containerStatuses"),
        ]
        found = (section(status, "state", "waiting") for status in statuses)
        blocked = (
            state for state in found if text(state, "reason") not in ("", "PodInitializing", "ContainerCreating")
        )
        return next(blocked, {})

    @cached_property
    def terminated(self) -> Mapping[str, Any]:
        """How the worker ended last; empty where it has not."""
        status = self.container_status
        return section(status, "state", "terminated") or section(status, "lastState", "terminated")

    @property
    def exit_code(self) -> int | None:
        return whole(self.terminated, "exitCode")

    @cached_property
    def started_at(self) -> float | None:
        """First known start of the worker."""
        status = self.container_status
        places = (("lastState", "terminated"), ("state", "running"), ("state", "terminated"))
        times = [moment(status, *place, "startedAt") for place in places]
        return min((at for at in times if at), default=None)

    @property
    def finished_at(self) -> float | None:
        return moment(self.terminated, "finishedAt")

    @property
    def said(self) -> dict[str, Any]:
        """The runner's termination message; empty where there is none of ours."""
        message = text(self.terminated, "message").encode("utf-8", "replace")
        return protocol.decode_termination(message) or {}

    @property
    def objects(self) -> dict[str, dict[str, Any]]:
        """Digests of the objects that the runner wrote (``JobStatus.objects``)."""
        return {name: dict(one) for name, one in section(self.said, "objects").items() if isinstance(one, Mapping)}


def newest_first(pods: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """Times are in whole seconds: of two pods of one second the failed one was replaced by the other."""
    found = [Pod(raw) for raw in pods]
    if len(found) > 1:
        found.sort(key=lambda pod: (pod.created, pod.phase != "Failed", pod.started_at or 0.0, pod.name), reverse=True)
    return found


def _worker(containers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The worker among containers; the first one in pods that name it differently."""
    named = (one for one in containers if text(one, "name") == CONTAINER)
    return next(named, containers[0] if containers else {})
