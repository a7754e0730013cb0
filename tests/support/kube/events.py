"""Events: what controllers and nodes tell about an object."""

from __future__ import annotations

import secrets

from kube.errors import Object
from kube.resources import EVENTS, NAMESPACES
from kube.store import Store, deleting


class Events:
    """The same words about the same object are one event with a count."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[tuple[str, str, str], str] = {}

    def tell(self, about: Object, reason: str, message: str, *, component: str, kind: str = "Normal") -> None:
        meta = about["metadata"]
        namespace = meta.get("namespace") or "default"
        with self._store.lock:
            home = self._store.find(NAMESPACES, "", namespace)
            if home is None or deleting(home):
                return
            key = (meta["uid"], reason, message)
            known = self._names.get(key)
            if known and self._store.mutate(EVENTS, namespace, known, self._again):
                return
            self._names[key] = name = f"{meta['name']}.{secrets.token_hex(8)}"
            self._store.create(EVENTS, self._event(name, namespace, about, reason, message, component, kind))

    def _again(self, event: Object) -> None:
        event["count"] += 1
        event["lastTimestamp"] = self._store.clock.stamp()

    def _event(
        self, name: str, namespace: str, about: Object, reason: str, message: str, component: str, kind: str
    ) -> Object:
        meta, now = about["metadata"], self._store.clock.stamp()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "kind": about["kind"],
                "apiVersion": about["apiVersion"],
                "name": meta["name"],
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
            }
            | ({"namespace": meta["namespace"]} if "namespace" in meta else {}),
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "eventTime": None,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
        }
