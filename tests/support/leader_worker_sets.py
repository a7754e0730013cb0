"""The controller of LeaderWorkerSets, as far as upstream's jobs need it: a leader's pod, its workers, and their end.

It stands for version 0.5.1, which upstream installs: ``LWS_LEADER_ADDRESS`` and ``LWS_GROUP_SIZE`` are injected, the
index of a host is not (``contract`` P1). Pods are not restarted, so a group that has ended stays as it is until it
is deleted.

with LeaderWorkerSets(server):
    ...
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from kube import KubeServer
from kube.control_loop import ControlLoop, Key
from kube.errors import Object
from kube.resources import LEADER_WORKER_SETS, PODS
from kube.store import Change, copied, deleting

_PREFIX = "leaderworkerset.sigs.k8s.io"


class LeaderWorkerSets:
    """One group a set (``replicas: 1``). The pods belong to the set and go with it."""

    def __init__(self, server: KubeServer) -> None:
        self._registry = server.registry
        self._store = server.store
        self._loop: ControlLoop | None = None

    def __enter__(self) -> LeaderWorkerSets:
        self._loop = ControlLoop(self._store, [self])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.close()
        assert not self._loop.errors, "\n".join(self._loop.errors)

    def interested(self, change: Change) -> Iterable[Key]:
        meta = change.last["metadata"]
        return [(meta["namespace"], meta["name"])] if change.resource == LEADER_WORKER_SETS else ()

    def reconcile(self, key: Key) -> float | None:
        group = self._store.find(LEADER_WORKER_SETS, *key)
        if group is None or deleting(group):
            return None
        for index in range(group["spec"]["leaderWorkerTemplate"]["size"]):
            pod = _pod(group, index)
            if self._store.find(PODS, key[0], pod["metadata"]["name"]) is None:
                self._registry.create(PODS, key[0], pod)
        return None


def _pod(group: Object, index: int) -> Object:
    """The leader is ``{name}-0``, a worker ``{name}-0-{index}``."""
    meta, template = group["metadata"], group["spec"]["leaderWorkerTemplate"]
    pod = copied(template["workerTemplate" if index else "leaderTemplate"])
    pod["metadata"]["name"] = f"{meta['name']}-0-{index}" if index else f"{meta['name']}-0"
    pod["metadata"]["labels"] |= {f"{_PREFIX}/name": meta["name"], f"{_PREFIX}/worker-index": str(index)}
    owner = {"apiVersion": group["apiVersion"], "kind": group["kind"], "name": meta["name"], "uid": meta["uid"]}
    pod["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    injected = {
        "LWS_LEADER_ADDRESS": f"{meta['name']}-0.{meta['name']}.{meta['namespace']}",
        "LWS_GROUP_SIZE": str(template["size"]),
    }
    for container in pod["spec"]["containers"]:
        given = [{"name": name, "value": value} for name, value in injected.items()]
        container["env"] = [*given, *container.get("env", [])]
    return pod
