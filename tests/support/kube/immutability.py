"""Which fields of a stored object must not change."""

from __future__ import annotations

from typing import Any

from kube.errors import Object
from kube.resources import JOBS, PODS, SECRETS, Resource
from kube.store import copied
from kube.validation import Causes

_JOB = ("completions", "selector", "podFailurePolicy", "completionMode", "podReplacementPolicy")
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")
_POD = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
_POD += "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)"


def problems(resource: Resource, old: Object, new: Object) -> Causes:
    causes: Causes = []
    for field in ("uid", "creationTimestamp"):
        if new["metadata"].get(field) not in (None, old["metadata"].get(field)):
            causes.append((f"metadata.{field}", f'Invalid value: "{new["metadata"][field]}": field is immutable'))
    if resource == JOBS:
        causes += _job(old, new)
    elif resource == PODS and _without_changeable(old["spec"]) != _without_changeable(new.get("spec", {})):
        causes.append(("spec", _POD))
    elif resource == SECRETS and old.get("type") != new.get("type"):
        causes.append(("type", f'Invalid value: "{new.get("type")}": field is immutable'))
    return causes


def _job(old: Object, new: Object) -> Causes:
    before, after = old["spec"], new.get("spec", {})
    causes = [
        (f"spec.{field}", f"Invalid value: {after.get(field)}: field is immutable")
        for field in _JOB
        if before.get(field) != after.get(field)
    ]
    waiting = before.get("suspend") and not old.get("status", {}).get("startTime")
    templates: list[Any] = [copied(before["template"]), copied(after.get("template", {}))]
    if waiting:
        for template in templates:
            template.pop("metadata", None)
            for field in _SCHEDULING:
                template.get("spec", {}).pop(field, None)
    if templates[0] != templates[1]:
        causes.append(("spec.template", "Invalid value: core.PodTemplateSpec{...}: field is immutable"))
    return causes


def _without_changeable(spec: Object) -> Object:
    spec = copied(spec)
    for field in ("activeDeadlineSeconds", "tolerations"):
        spec.pop(field, None)
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        container.pop("image", None)
    return spec
