"""Decided before an object is stored: does its namespace take objects, may this pod exist, whose account has it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from kube.errors import Object, forbidden, not_found
from kube.resources import JOBS, NAMESPACES, PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS, Resource
from kube.store import Store, deleting

_SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Admission:
    """``refusals``: (namespace or "", message): pods are refused there, as by a full ResourceQuota."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refusals: list[tuple[str, str]] = []
        self.mutators: list[Callable[[Resource, Object], None]] = []

    def admit(self, resource: Resource, obj: Object) -> None:
        """Completes ``obj``; 403 or 404 where it must not be made."""
        namespace, name = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        if resource.namespaced:
            home = self._store.find(NAMESPACES, "", namespace)
            if home is None:
                raise not_found(NAMESPACES, namespace)
            if deleting(home):
                why = f"unable to create new content in namespace {namespace} because it is being terminated"
                raise forbidden(resource, name, why)
        for mutate in self.mutators:
            mutate(resource, obj)
        if resource == PODS:
            self._pod(obj, namespace, name)
        elif resource == JOBS:
            _claim(obj)

    def _pod(self, pod: Object, namespace: str, name: str) -> None:
        spec = pod["spec"]
        account = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = account
        if self._store.find(SERVICE_ACCOUNTS, namespace, account) is None:
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise forbidden(PODS, name, why)
        spec["priority"] = self._priority(spec.get("priorityClassName"), name)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("enableServiceLinks", True)
        spec.setdefault("tolerations", []).extend(
            {
                "key": f"node.kubernetes.io/{taint}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
            for taint in ("not-ready", "unreachable")
        )
        for where, message in self.refusals:
            if where in ("", namespace):
                raise forbidden(PODS, name, message)

    def _priority(self, wanted: str | None, pod: str) -> int:
        if not wanted:
            return 0
        if wanted in _SYSTEM_CLASSES:
            return _SYSTEM_CLASSES[wanted]
        found = self._store.find(PRIORITY_CLASSES, "", wanted)
        if found is None:
            raise forbidden(PODS, pod, f"no PriorityClass with name {wanted} was found")
        return int(found["value"])


def _claim(job: Object) -> None:
    """The selector and labels by which a Job knows its pods; its uid is chosen here, so that they can name it."""
    uid = job["metadata"]["uid"] = str(uuid.uuid4())
    labels = job["spec"]["template"]["metadata"].setdefault("labels", {})
    labels["controller-uid"] = labels["batch.kubernetes.io/controller-uid"] = uid
    labels["job-name"] = labels["batch.kubernetes.io/job-name"] = job["metadata"]["name"][:63]
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
