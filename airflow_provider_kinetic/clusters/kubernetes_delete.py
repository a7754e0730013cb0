"""Ending what runs and removing its object, which is two things: the object may be gone and the pod still run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.kubernetes_api import not_found
from airflow_provider_kinetic.clusters.kubernetes_session import Session
from airflow_provider_kinetic.model.kubernetes.pods import Pod

FOREGROUND = {"propagationPolicy": "Foreground"}
"""Pods first, the object when they are gone (Kubernetes, "Garbage Collection"); the default leaves pods running."""

_FIRST_LOOK = 0.1
_LOOKS = 1.0
"""Shortest and longest pause in seconds between two looks at a machine that ends."""


def delete(session: Session, path: str | None, resource: str, *, namespace: str, name: str, wait: float) -> bool:
    """Delete the object at ``path`` and the pods that name it; True when none of them runs any more.

    :param path: None where the cluster has no objects of that kind.
    :param wait: longest time in seconds; until then True is only said when the object is gone.
    """
    give_up = time.monotonic() + wait
    there = path is not None and ask(session, path, resource)
    pause = _FIRST_LOOK
    while True:
        pods = session.list(paths.pods(namespace), "list pods", paths.of_job(name)).items
        if not there:
            _delete_orphans(session, namespace, pods)
        if not there and all(Pod(pod).ended for pod in pods):
            return True
        if time.monotonic() >= give_up:
            return all(Pod(pod).ended for pod in pods)
        time.sleep(min(pause, max(0.0, give_up - time.monotonic())))
        pause = min(_LOOKS, pause * 1.5)
        there = path is not None and session.find(path, f"get {resource}")[0] is not None


def ask(session: Session, path: str, resource: str) -> bool:
    """Ask for a deletion; whether there was an object."""
    answer = session.ask("DELETE", path, f"delete {resource}", body=FOREGROUND, accept=(404,))
    return not not_found(answer.response)


def _delete_orphans(session: Session, namespace: str, pods: Iterable[Mapping[str, Any]]) -> None:
    """Somebody deleted the object and not its pods (``--cascade=orphan``): nobody else would end them."""
    for pod in map(Pod, pods):
        if not pod.deleting and not pod.ended:
            session.ask("DELETE", paths.pod(namespace, pod.name), "delete pods", accept=(403, 404))
