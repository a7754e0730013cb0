"""Conditions in a status: one of each type, with the time of its last change."""

from __future__ import annotations

from kube.clock import Clock
from kube.errors import Object


def put(status: Object, clock: Clock, kind: str, value: str = "True", *, reason: str = "", message: str = "") -> None:
    """Sets condition ``kind``; its transition time moves only when its value changes."""
    listed = status.setdefault("conditions", [])
    old = next((each for each in listed if each["type"] == kind), None)
    new: Object = {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": clock.stamp()}
    if old is not None and old["status"] == value:
        new["lastTransitionTime"] = old["lastTransitionTime"]
    new |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
    if old is None:
        listed.append(new)
    else:
        listed[listed.index(old)] = new


def find(obj: Object, kind: str) -> Object | None:
    return next((each for each in obj.get("status", {}).get("conditions", []) if each["type"] == kind), None)


def holds(obj: Object, kind: str) -> bool:
    found = find(obj, kind)
    return found is not None and found["status"] == "True"
