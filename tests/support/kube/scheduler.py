"""Gives pods a node by selectors, taints and resources, or says in the scheduler's words why none fits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from kube import conditions, quantities
from kube.control_loop import Key
from kube.errors import Object
from kube.events import Events
from kube.resources import NODES, PODS
from kube.store import Change, Store, deleting


class Scheduler:
    """``holds``: (image or "", message): pods with that image stay unschedulable with that message."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._waiting: set[Key] = set()
        self._used: dict[str, Counter[str]] = defaultdict(Counter)
        self.holds: list[tuple[str, str]] = []

    def interested(self, change: Change) -> Iterable[Key]:
        if change.resource == NODES:
            return list(self._waiting)
        if change.resource != PODS:
            return ()
        before, after = _place(change.old), _place(change.new)
        if before != after:
            self._count(before, change.old, -1)
            self._count(after, change.new, +1)
        meta = change.last["metadata"]
        key = (meta["namespace"], meta["name"])
        waits = change.new is not None and not change.new["spec"].get("nodeName") and not deleting(change.new)
        if waits:
            self._waiting.add(key)
        else:
            self._waiting.discard(key)
        if before and not after:
            return list(self._waiting)  # room was made
        return [key] if waits and change.old is None else ()

    def _count(self, node: str, pod: Object | None, sign: int) -> None:
        if node and pod:
            for name, amount in quantities.requests(pod["spec"]).items():
                self._used[node][name] += sign * amount  # type: ignore[assignment]

    def reconcile(self, key: Key) -> float | None:
        pod = self._store.find(PODS, *key)
        if pod is None or pod["spec"].get("nodeName") or deleting(pod):
            return None
        images = {container["image"] for container in pod["spec"]["containers"]}
        held = next((message for image, message in self.holds if image in ("", *images)), "")
        node, why = ("", held) if held else self._choose(pod)
        if node:
            self._store.mutate(PODS, *key, lambda new: self._bind(new, node))
            message = f"Successfully assigned {key[0]}/{key[1]} to {node}"
            self._events.tell(pod, "Scheduled", message, component="default-scheduler")
            return None
        self._store.mutate(PODS, *key, lambda new: self._refuse(new, why))
        self._events.tell(pod, "FailedScheduling", why, component="default-scheduler", kind="Warning")
        return 0.5

    def _bind(self, pod: Object, node: str) -> None:
        pod["spec"]["nodeName"] = node
        conditions.put(pod["status"], self._store.clock, "PodScheduled")

    def _refuse(self, pod: Object, why: str) -> None:
        if not pod["spec"].get("nodeName"):
            conditions.put(
                pod["status"], self._store.clock, "PodScheduled", "False", reason="Unschedulable", message=why
            )

    def _choose(self, pod: Object) -> tuple[str, str]:
        nodes, _ = self._store.list(NODES)
        problems: Counter[str] = Counter()
        for node in nodes:
            wrong = self._problems(pod["spec"], node)
            if not wrong:
                return node["metadata"]["name"], ""
            problems.update(wrong)
        told = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items()))
        why = f"0/{len(nodes)} nodes are available: {told}. " if nodes else "no nodes available to schedule pods. "
        return (
            "",
            why
            + f"preemption: 0/{len(nodes)} nodes are available: {len(nodes)} Preemption is not helpful for scheduling.",
        )

    def _problems(self, spec: Object, node: Object) -> list[str]:
        if node["spec"].get("unschedulable"):
            return ["node(s) were unschedulable"]
        labels = node["metadata"].get("labels", {})
        if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
            return ["node(s) didn't match Pod's node affinity/selector"]
        for taint in node["spec"].get("taints", []):
            if taint["effect"] != "PreferNoSchedule" and not any(
                _tolerates(each, taint) for each in spec.get("tolerations", [])
            ):
                return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
        room = {name: quantities.parse(amount) for name, amount in node["status"]["allocatable"].items()}
        used = self._used[node["metadata"]["name"]]
        asked = quantities.requests(spec)
        return [
            "Too many pods" if name == "pods" else f"Insufficient {name}"
            for name, amount in asked.items()
            if amount and used[name] + amount > room.get(name, 0.0) + 1e-9
        ]


def _place(pod: Object | None) -> str:
    """The node on which a pod takes room."""
    if pod is None or pod["status"]["phase"] in ("Succeeded", "Failed"):
        return ""
    return str(pod["spec"].get("nodeName", ""))


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or (toleration.get("value") or "") == taint.get("value", "")
