"""The garbage collector: what is owned goes with its owner, in the order that the propagation policy says."""

from __future__ import annotations

from collections.abc import Iterable

from kube.control_loop import Key
from kube.errors import Object, Refusal
from kube.registry import Registry
from kube.resources import NAMESPACES, Resource
from kube.store import Change, deleting


class GarbageCollector:
    """Works by owner: its keys are (uid of the owner, "")."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._owners: dict[str, tuple[Resource, Key]] = {}

    def interested(self, change: Change) -> Iterable[Key]:
        meta = change.last["metadata"]
        found = []
        if change.new is None or deleting(change.new):
            self._owners[meta["uid"]] = (change.resource, (meta.get("namespace", ""), meta["name"]))
            found.append((meta["uid"], ""))
        found += [(reference["uid"], "") for reference in meta.get("ownerReferences", [])]
        return found

    def reconcile(self, key: Key) -> float | None:
        uid = key[0]
        if uid not in self._owners:
            return self._look_for_owner(uid)
        resource, name = self._owners[uid]
        owner = self._store.find(resource, *name)
        dependents = self._store.owned(uid)
        if owner is None or owner["metadata"]["uid"] != uid:
            self._release(uid, dependents)
            return None
        finalizers = owner["metadata"].get("finalizers", [])
        if "orphan" in finalizers:
            for kind, each in dependents:
                self._mutate(kind, each, lambda new: _drop_owner(new, uid))
            self._mutate(resource, owner, lambda new: _drop_finalizer(new, "orphan"))
        elif "foregroundDeletion" in finalizers and dependents:
            for kind, each in dependents:
                self._delete(kind, each)
        elif "foregroundDeletion" in finalizers:
            self._mutate(resource, owner, lambda new: _drop_finalizer(new, "foregroundDeletion"))
        return None

    def _look_for_owner(self, uid: str) -> None:
        """An owner that never was, or that went before its dependent came, takes the dependent along."""
        for kind, each in self._store.owned(uid):
            reference = next(one for one in each["metadata"]["ownerReferences"] if one["uid"] == uid)
            known = [one for one in self._store.resources() if one.kind == reference["kind"]]
            places = [(one, each["metadata"]["namespace"] if one.namespaced else "") for one in known]
            found = [self._store.find(one, where, reference["name"]) for one, where in places]
            if not any(owner is not None and owner["metadata"]["uid"] == uid for owner in found):
                self._release(uid, [(kind, each)])

    def _release(self, uid: str, dependents: list[tuple[Resource, Object]]) -> None:
        for kind, each in dependents:
            if len(each["metadata"]["ownerReferences"]) > 1:
                self._mutate(kind, each, lambda new: _drop_owner(new, uid))
            else:
                self._delete(kind, each)

    def _mutate(self, resource: Resource, obj: Object, change) -> None:  # type: ignore[no-untyped-def]
        meta = obj["metadata"]
        self._store.mutate(resource, meta.get("namespace", ""), meta["name"], change)

    def _delete(self, resource: Resource, obj: Object) -> None:
        meta = obj["metadata"]
        if deleting(obj):
            return
        try:
            options = {"propagationPolicy": "Background", "preconditions": {"uid": meta["uid"]}}
            self._registry.delete(resource, meta.get("namespace", ""), meta["name"], options)
        except Refusal:
            return  # it is gone, or it is another one by now


class NamespaceController:
    """Empties a namespace that is being deleted, and gives a new one its default service account."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def interested(self, change: Change) -> Iterable[Key]:
        if change.resource == NAMESPACES and change.new is not None and deleting(change.new):
            return [("", change.last["metadata"]["name"])]
        return ()

    def reconcile(self, key: Key) -> float | None:
        name = key[1]
        left = 0
        self._store.mutate(NAMESPACES, "", name, lambda new: new["status"].update(phase="Terminating"))
        for resource in [each for each in self._store.resources() if each.namespaced]:
            for obj in self._store.list(resource, name)[0]:
                left += 1
                if not deleting(obj):
                    self._registry.delete(resource, name, obj["metadata"]["name"], {"propagationPolicy": "Background"})
        if left:
            return 0.05
        if self._store.find(NAMESPACES, "", name):
            self._store.remove(NAMESPACES, "", name)
        return None


def _drop_owner(obj: Object, uid: str) -> None:
    left = [one for one in obj["metadata"]["ownerReferences"] if one["uid"] != uid]
    obj["metadata"]["ownerReferences"] = left
    if not left:
        del obj["metadata"]["ownerReferences"]


def _drop_finalizer(obj: Object, finalizer: str) -> None:
    obj["metadata"]["finalizers"] = [one for one in obj["metadata"].get("finalizers", []) if one != finalizer]
    if not obj["metadata"]["finalizers"]:
        del obj["metadata"]["finalizers"]
