"""Defaulting: the fields that the server fills in and that readers rely on."""

from __future__ import annotations

from kube.errors import Object
from kube.resources import JOBS, NAMESPACES, PODS, SECRETS, Resource


def apply(resource: Resource, obj: Object) -> None:
    """Fills in ``obj``, which is about to be created."""
    if resource == PODS:
        _pod_spec(obj.get("spec", {}), restart_policy="Always")
        obj["status"] = {"phase": "Pending", "qosClass": _quality(obj.get("spec", {}))}
    elif resource == JOBS:
        _job(obj)
    elif resource == NAMESPACES:
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj["status"] = {"phase": "Active"}
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    elif resource == SECRETS:
        obj.setdefault("type", "Opaque")


def _job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    for field, value in {"backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False}.items():
        if spec.get(field) is None:
            spec[field] = value
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", []):
        for pattern in rule.get("onPodConditions") or []:
            pattern.setdefault("status", "True")
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}), restart_policy="Always")
    obj["status"] = {}


def _pod_spec(spec: Object, restart_policy: str) -> None:
    for name in ("nodeSelector", "tolerations", "volumes", "initContainers", "affinity"):
        if name in spec and not spec[name]:
            del spec[name]
    spec.setdefault("restartPolicy", restart_policy)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        _container(container)


def _container(container: Object) -> None:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2].partition(":")[2]
    fresh = "@" not in image and tag in ("", "latest")
    container.setdefault("imagePullPolicy", "Always" if fresh else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)
    for variable in container.get("env") or []:
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            reference.setdefault("apiVersion", "v1")


def _quality(spec: Object) -> str:
    """The quality-of-service class: what is evicted first."""
    both = [container.get("resources", {}) for container in spec.get("containers") or []]
    if not any(resources.get("requests") or resources.get("limits") for resources in both):
        return "BestEffort"
    sure = all(
        resources.get("limits", {}).get(name) == resources.get("requests", {}).get(name, "") != ""
        for resources in both
        for name in ("cpu", "memory")
    )
    return "Guaranteed" if sure else "Burstable"
