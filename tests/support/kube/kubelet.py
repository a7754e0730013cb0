"""The kubelets of all nodes: a worker for each pod that has processes, a status for each that has none."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from kube.control_loop import Key
from kube.errors import Object, Refusal
from kube.events import Events
from kube.images import Image
from kube.pod_environment import PodEnvironment
from kube.pod_status import PodStatus
from kube.pod_worker import PodWorker
from kube.registry import Registry
from kube.resources import PODS
from kube.store import Change, deleting


class Kubelet:
    """``images`` may change at any time. Workers stay known, for their logs, until their pod is removed."""

    def __init__(
        self, registry: Registry, events: Events, images: Mapping[str, Image], root: Path, base: Mapping[str, str]
    ) -> None:
        self._registry = registry
        self._store = registry.store
        self._events = events
        self._images = images
        self._root = root
        self._base = base
        self._workers: dict[str, PodWorker] = {}
        self._idle: dict[str, PodStatus] = {}
        self._closed = False
        self._lock = threading.Lock()

    def interested(self, change: Change) -> Iterable[Key]:
        if change.resource != PODS:
            return ()
        meta = change.last["metadata"]
        if change.new is None:
            self._forget(meta["uid"])
            return ()
        return [(meta["namespace"], meta["name"])] if change.new["spec"].get("nodeName") else ()

    def reconcile(self, key: Key) -> float | None:
        pod = self._store.find(PODS, *key)
        if pod is None or not pod["spec"].get("nodeName"):
            return None
        uid = pod["metadata"]["uid"]
        if uid not in self._workers and uid not in self._idle and pod["status"]["phase"] == "Pending":
            self._start(pod)
        if deleting(pod):
            self._stop(pod)
            return 0.2 if pod["metadata"]["deletionGracePeriodSeconds"] else None
        return None

    def worker(self, pod: Object) -> PodWorker | None:
        return self._workers.get(pod["metadata"]["uid"])

    def end_idle(self, pod: Object, code: int) -> None:
        """The end of a pod that has no process."""
        status = self._idle[pod["metadata"]["uid"]]
        for container in pod["spec"]["containers"]:
            status.ended(container["name"], code, "Error" if code else "Completed")
        status.finish("Failed" if code else "Succeeded")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.lose()
        for worker in workers:
            worker.thread.join()

    def _start(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if self._images.get(pod["spec"]["containers"][0]["image"], Image()).idle:
            self._idle[uid] = status = PodStatus(self._store, pod)
            for container in pod["spec"]["containers"]:
                status.runs(container["name"])
            return
        folder = self._root / uid
        folder.mkdir(parents=True)
        environment = PodEnvironment(self._store, pod, folder, self._base)
        worker = PodWorker(self._store, self._events, self._images, pod, environment, self._ended)
        with self._lock:
            if self._closed:
                return
            self._workers[uid] = worker
            worker.thread.start()

    def _stop(self, pod: Object) -> None:
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is not None and worker.thread.is_alive():
            worker.stop(pod["metadata"]["deletionGracePeriodSeconds"])
        if worker is not None and (worker.lost or worker.thread.is_alive()):
            return
        if pod["metadata"]["uid"] in self._idle and pod["status"]["phase"] == "Running":
            self.end_idle(pod, 143)
        self._ended(pod)

    def _ended(self, pod: Object) -> None:
        """Nothing of the pod runs any more: when it is being deleted it may go."""
        meta = pod["metadata"]
        current = self._store.find(PODS, meta["namespace"], meta["name"])
        if self._closed or current is None or current["metadata"]["uid"] != meta["uid"] or not deleting(current):
            return
        try:
            self._registry.delete(PODS, meta["namespace"], meta["name"], {"gracePeriodSeconds": 0})
        except Refusal:
            return  # somebody was faster

    def _forget(self, uid: str) -> None:
        """The pod's object is gone; what still runs of it (deleted without grace) ends."""
        self._idle.pop(uid, None)
        worker = self._workers.pop(uid, None)
        if worker is not None:
            worker.lose()
            threading.Thread(target=self._sweep, args=(worker, uid), daemon=True).start()

    def _sweep(self, worker: PodWorker, uid: str) -> None:
        worker.thread.join()
        shutil.rmtree(self._root / uid, ignore_errors=True)
