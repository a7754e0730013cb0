"""What the kubelet reports of a pod: phase, conditions and the states of its containers."""

from __future__ import annotations

import hashlib
import threading

from kube import conditions
from kube.errors import Object
from kube.resources import PODS
from kube.store import Store

_END = ("Succeeded", "Failed")
_NEVER = "1970-01-01T00:00:00Z"
"""So containerd writes the start of a container that could not be started."""


def _waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


class PodStatus:
    """Writes the status of one pod, as long as it is the pod that it was."""

    def __init__(self, store: Store, pod: Object) -> None:
        self._store = store
        self._uid = pod["metadata"]["uid"]
        self._key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        self._lock = threading.Lock()
        spec = pod["spec"]
        self._init = {each["name"]: _initial(each, "PodInitializing") for each in spec.get("initContainers", [])}
        first = "PodInitializing" if self._init else "ContainerCreating"
        self._main = {each["name"]: _initial(each, first) for each in spec["containers"]}
        self.reason = ""
        self.message = ""

    def begin(self) -> None:
        self._write("Pending")

    def waits(self, container: str, reason: str, message: str = "") -> None:
        state = _waiting(reason, message)
        if self._all()[container]["state"] != state:
            self._set(container, state)

    def runs(self, container: str) -> None:
        with self._lock:
            self._all()[container] |= {"ready": container in self._main, "started": True}
            self._all()[container]["containerID"] = (
                f"containerd://{hashlib.sha256((self._uid + container).encode()).hexdigest()}"
            )
        self._set(container, {"running": {"startedAt": self._store.clock.stamp()}})

    def ended(self, container: str, code: int, reason: str, message: str = "") -> None:
        status = self._all()[container]
        now = self._store.clock.stamp()
        started = _NEVER if reason == "StartError" else status["state"].get("running", {}).get("startedAt", now)
        state = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now}
        state |= {"containerID": status["containerID"]} if status.get("containerID") else {}
        with self._lock:
            status |= {"ready": container in self._init and code == 0, "started": False}
        self._set(container, {"terminated": state | ({"message": message} if message else {})})

    def finish(self, phase: str) -> None:
        self._write(phase)

    def codes(self) -> list[int]:
        """Exit codes of the main containers; one that never ran counts as failed."""
        return [each["state"].get("terminated", {}).get("exitCode", 137) for each in self._main.values()]

    def _all(self) -> dict[str, Object]:
        return self._init | self._main

    def _set(self, container: str, state: Object) -> None:
        with self._lock:
            self._all()[container]["state"] = state
        started = any("waiting" not in each["state"] for each in self._main.values())
        self._write("Running" if started else "Pending")

    def _write(self, phase: str) -> None:
        self._store.mutate(PODS, *self._key, lambda pod: self._fill(pod, phase))

    def _fill(self, pod: Object, phase: str) -> None:
        if pod["metadata"]["uid"] != self._uid or pod["status"]["phase"] in _END:
            return
        status = pod["status"]
        status["phase"] = phase
        status.setdefault("startTime", self._store.clock.stamp())
        status |= {"hostIP": "127.0.0.1", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        status |= {key: text for key, text in (("reason", self.reason), ("message", self.message)) if text}
        with self._lock:
            if self._init:
                status["initContainerStatuses"] = [dict(each) for each in self._init.values()]
            status["containerStatuses"] = [dict(each) for each in self._main.values()]
            ready = all(each["ready"] for each in self._main.values())
            initialized = all(each["state"].get("terminated", {}).get("exitCode") == 0 for each in self._init.values())
        names = [each["name"] for each in status["containerStatuses"] if not each["ready"]]
        why = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
        text = "" if phase in _END else f"containers with unready status: [{' '.join(names)}]"
        conditions.put(status, self._store.clock, "PodReadyToStartContainers", "False" if phase in _END else "True")
        conditions.put(status, self._store.clock, "Initialized", "True" if initialized else "False")
        for kind in ("Ready", "ContainersReady"):
            told = {} if ready else {"reason": why, "message": text}
            conditions.put(status, self._store.clock, kind, "True" if ready else "False", **told)


def _initial(container: Object, reason: str) -> Object:
    status: Object = {"name": container["name"], "state": _waiting(reason), "lastState": {}, "ready": False}
    return status | {"restartCount": 0, "image": container["image"], "imageID": "", "started": False}
