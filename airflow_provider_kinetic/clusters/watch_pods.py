"""The pods of one job as a watch has told of them, and what is remembered of those that are gone."""

from __future__ import annotations

from airflow_provider_kinetic.clusters.watch_objects import Kept, Object
from airflow_provider_kinetic.model.kubernetes.objects import entries, text
from airflow_provider_kinetic.model.kubernetes.pods import Pod

ENDED = 20
"""Pods that were deleted after their end and are kept: what they reported may be needed."""


class Pods:
    """``owner`` is the uid of their Job, None while it is not known."""

    __slots__ = ("_ended", "_kept", "disrupted", "owner", "started")

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        """Those that are there."""
        self._ended: dict[str, Kept] = {}
        """Those that were deleted after their end."""
        self.owner: str | None = None
        self.started: dict[str, float] = {}
        """When each was started that ever was."""
        self.disrupted: set[str] = set()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def names(self) -> set[str]:
        return set(self._kept)

    @property
    def known(self) -> tuple[object, ...]:
        """All that :attr:`own` and the numbers below are made of; equal ones say the same."""
        return (*self._all(), len(self.started), len(self.disrupted))

    @property
    def own(self) -> list[Object]:
        """Without those of a Job that had the same name before."""
        return [pod for pod in (kept.whole for kept in self._all()) if self._owns(pod)]

    def _all(self) -> list[Kept]:
        return [*self._kept.values(), *self._ended.values()]

    @property
    def present(self) -> str | None:
        """Name of the one that a status of a waiting job is about."""
        pods = (Pod(raw) for raw in self.own)
        return next((pod.name for pod in pods if not pod.ended and not pod.deleting), None)

    def adopt(self, owner: str) -> None:
        """They belong to another Job from now on; to the same one if it only was unknown for a while."""
        if owner == self.owner:
            return
        self.owner, self.started, self.disrupted = owner, {}, set()
        for pod in self.own:
            self._remember(pod)

    def clear(self) -> None:
        self._kept.clear()
        self._ended.clear()

    def put(self, raw: Object, sure: bool = False) -> bool:
        """True where that changes what is known. ``sure``: even where it looks older than what is known."""
        name, pod = text(raw, "metadata", "name"), Kept.of(raw)
        known = self._find(name)
        if known is not None and not sure and pod.older(known):
            return False
        self._ended.pop(name, None)
        self._kept[name] = pod
        if known is not None and known.body == pod.body:
            return False
        self._remember(raw)
        return True

    def drop(self, raw: Object) -> bool:
        """One that has ended is kept for what it reported, for as long as its Job is there."""
        return self._gone(text(raw, "metadata", "name"), Kept.of(raw))

    def lose(self, name: str) -> bool:
        """A listing does not have it."""
        return self._gone(name, self._kept[name])

    def _find(self, name: str) -> Kept | None:
        return self._kept.get(name) or self._ended.get(name)

    def _gone(self, name: str, pod: Kept) -> bool:
        known, raw = self._find(name), pod.whole
        if known is not None and pod.older(known):
            return False
        self._remember(raw)
        was_there = self._kept.pop(name, None) is not None
        if self.owner is None or not Pod(raw).ended:
            return was_there
        self._ended[name] = pod
        for oldest in list(self._ended)[:-ENDED]:
            del self._ended[oldest]
        return known is None or known.body != pod.body

    def _remember(self, raw: Object) -> None:
        pod = Pod(raw)
        name = pod.name
        if not self._owns(raw):
            return
        if name not in self.started and (started := pod.started_at) is not None:
            self.started[name] = started
        if name not in self.disrupted and pod.disruption:
            self.disrupted.add(name)

    def _owns(self, pod: Object) -> bool:
        owners = [text(owner, "uid") for owner in entries(pod, "metadata", "ownerReferences")]
        return self.owner is None or not owners or self.owner in owners
