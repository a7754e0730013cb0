"""What etcd and the watch cache are to the real server: objects, one version counter, and the changes of late.

An object in the store is never changed: a change is a new object. So any thread may read what it was handed.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from kube.clock import Clock
from kube.errors import Object, already_exists, conflict, not_found
from kube.resources import Resource

HISTORY = 20_000
"""Changes that a watch can start from; older ones are forgotten by halves (each holds two objects in memory)."""


class Change(NamedTuple):
    """``old`` is None for a new object, ``new`` for a removed one (``last`` then has the version of its end)."""

    version: int
    resource: Resource
    old: Object | None
    new: Object | None
    last: Object


def copied(obj: Object) -> Object:
    return json.loads(json.dumps(obj))


def deleting(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


class Store:
    """Everything under one lock; ``changed`` is notified at every change, ``listeners`` are called with it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = 1000
        self.history: list[Change] = []
        self.compacted = self.version
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: dict[Resource, dict[tuple[str, str], Object]] = defaultdict(dict)
        self._owned: dict[str, dict[str, tuple[Resource, tuple[str, str]]]] = defaultdict(dict)

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        with self.lock:
            return self._objects[resource].get((namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.find(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def list(self, resource: Resource, namespace: str = "") -> tuple[list[Object], int]:
        """The objects by namespace and name, and the version that this is the state of."""
        with self.lock:
            kept = self._objects[resource]
            keys = sorted(key for key in kept if not namespace or key[0] == namespace)
            return [kept[key] for key in keys], self.version

    def owned(self, uid: str) -> list[tuple[Resource, Object]]:
        """The objects whose owner references name ``uid``."""
        with self.lock:
            return [(resource, self._objects[resource][key]) for resource, key in self._owned.get(uid, {}).values()]

    def resources(self) -> list[Resource]:
        with self.lock:
            return [resource for resource, kept in self._objects.items() if kept]

    def create(self, resource: Resource, obj: Object) -> Object:
        with self.lock:
            obj = copied(obj)
            meta = obj["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            if key in self._objects[resource]:
                raise already_exists(resource, meta["name"])
            meta.setdefault("uid", str(uuid.uuid4()))
            meta["creationTimestamp"] = self.clock.stamp()
            return self._write(resource, key, None, obj)

    def update(self, resource: Resource, obj: Object) -> Object:
        """Replaces; 409 where ``obj`` has a version that is not the last one. What is being deleted and has no
        finalizer left goes away. The same content again is no change."""
        with self.lock:
            obj = copied(obj)
            meta = obj["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            old = self.get(resource, *key)
            version = meta.get("resourceVersion") or old["metadata"]["resourceVersion"]
            if version != old["metadata"]["resourceVersion"]:
                raise conflict(resource, meta["name"])
            meta["resourceVersion"] = version
            if deleting(obj) and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
                return self._write(resource, key, old, None, last=obj)
            return old if obj == old else self._write(resource, key, old, obj)

    def mutate(self, resource: Resource, namespace: str, name: str, change: Callable[[Object], None]) -> Object | None:
        """``change`` alters a copy of the newest object in place; None where there is no such object."""
        with self.lock:
            old = self.find(resource, namespace, name)
            if old is None:
                return None
            obj = copied(old)
            change(obj)
            return self.update(resource, obj)

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        with self.lock:
            old = self.get(resource, namespace, name)
            return self._write(resource, (namespace, name), old, None, last=copied(old))

    def compact(self) -> None:
        """Forgets every change: a watch from before now is expired."""
        with self.lock:
            self.history.clear()
            self.compacted = self.version

    def _write(
        self,
        resource: Resource,
        key: tuple[str, str],
        old: Object | None,
        new: Object | None,
        last: Object | None = None,
    ) -> Object:
        self.version += 1
        subject = last if new is None else new
        assert subject is not None
        subject["metadata"]["resourceVersion"] = str(self.version)
        self._index(resource, key, old, new)
        change = Change(self.version, resource, old, new, subject)
        self.history.append(change)
        if len(self.history) > HISTORY:
            self.compacted = self.history[HISTORY // 2].version
            del self.history[: HISTORY // 2 + 1]
        for listener in self.listeners:
            listener(change)
        self.changed.notify_all()
        return subject

    def _index(self, resource: Resource, key: tuple[str, str], old: Object | None, new: Object | None) -> None:
        for reference in (old or {"metadata": {}})["metadata"].get("ownerReferences", []):
            self._owned.get(reference["uid"], {}).pop(old["metadata"]["uid"], None)  # type: ignore[index]
        if new is None:
            del self._objects[resource][key]
            return
        self._objects[resource][key] = new
        for reference in new["metadata"].get("ownerReferences", []):
            self._owned[reference["uid"]][new["metadata"]["uid"]] = (resource, key)
