"""What the server refuses with 422: names, labels, sizes, pod and job specs, and changes to what must not change."""

from __future__ import annotations

import re
from typing import Any

from kube import quantities
from kube.errors import Object
from kube.resources import JOBS, PODS, SECRETS, Resource

Causes = list[tuple[str, str]]

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_WORD = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_ANNOTATIONS = 256 * 1024
_SECRET = 1024 * 1024


def problems(resource: Resource, obj: Object) -> Causes:
    """What is wrong with an object that is to be created."""
    causes = metadata(resource, obj["metadata"])
    if resource == PODS:
        causes += pod_spec(obj.get("spec") or {}, "spec", ("Always", "OnFailure", "Never"))
    elif resource == JOBS:
        causes += _job(obj["spec"])
    elif resource == SECRETS:
        total = sum(len(value) * 3 // 4 for value in (obj.get("data") or {}).values())
        if total > _SECRET:
            causes.append(("data", f"Too long: may not be more than {_SECRET} bytes"))
    return causes


def metadata(resource: Resource, meta: Object) -> Causes:
    name = meta.get("name") or ""
    if not name:
        return [("metadata.name", "Required value: name or generateName is required")]
    causes: Causes = []
    longest, pattern = (63, _LABEL) if resource.plural == "namespaces" else (253, _SUBDOMAIN)
    if resource.plural not in ("events",) and (len(name) > longest or not pattern.match(name)):
        rule = "must consist of lower case alphanumeric characters, '-' or '.'"
        rule += ", and must start and end with an alphanumeric character"
        rule = (
            f"must be no more than {longest} characters" if len(name) > longest else f"a lowercase RFC 1123 name {rule}"
        )
        causes.append(("metadata.name", f'Invalid value: "{name}": {rule}'))
    causes += labels(meta.get("labels") or {}, "metadata.labels")
    if sum(len(str(key)) + len(str(value)) for key, value in (meta.get("annotations") or {}).items()) > _ANNOTATIONS:
        causes.append(("metadata.annotations", f"Too long: may not be more than {_ANNOTATIONS} bytes"))
    causes += [("metadata.annotations", problem) for key in meta.get("annotations") or {} if (problem := _key(key))]
    return causes


def labels(given: Object, field: str) -> Causes:
    causes: Causes = [(field, problem) for key in given if (problem := _key(key))]
    for value in given.values():
        if len(value) > 63:
            causes.append((field, f'Invalid value: "{value}": must be no more than 63 characters'))
        elif value and not _WORD.match(value):
            rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
            causes.append((field, f'Invalid value: "{value}": {rule}'))
    return causes


def _key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if (
        len(name) > 63
        or not _WORD.match(name)
        or (slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix.lower())))
    ):
        return (
            f"Invalid value: \"{key}\": name part must consist of at most 63 alphanumeric characters, '-', '_' or '.'"
        )
    return ""


def pod_spec(spec: Object, field: str, restart: tuple[str, ...]) -> Causes:
    causes: Causes = []
    if not spec.get("containers"):
        causes.append((f"{field}.containers", "Required value"))
    if spec.get("restartPolicy") not in restart:
        listed = ", ".join(f'"{word}"' for word in restart)
        causes.append(
            (f"{field}.restartPolicy", f'Unsupported value: "{spec.get("restartPolicy")}": supported values: {listed}')
        )
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(kind) or []):
            causes += _container(container, f"{field}.{kind}[{number}]", volumes)
    for number, toleration in enumerate(spec.get("tolerations") or []):
        causes += _toleration(toleration, f"{field}.tolerations[{number}]")
    return causes + labels(spec.get("nodeSelector") or {}, f"{field}.nodeSelector")


def _container(container: Object, field: str, volumes: set[Any]) -> Causes:
    causes: Causes = []
    name = container.get("name") or ""
    if len(name) > 63 or not _LABEL.match(name):
        told = f'Invalid value: "{name}": a lowercase RFC 1123 label is wanted' if name else "Required value"
        causes.append((f"{field}.name", told))
    if not container.get("image"):
        causes.append((f"{field}.image", "Required value"))
    causes += _env(container, field)
    for number, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            causes.append((f"{field}.volumeMounts[{number}].name", f'Not found: "{mount.get("name")}"'))
    return causes + _resources(container.get("resources") or {}, f"{field}.resources")


def _env(container: Object, field: str) -> Causes:
    causes: Causes = []
    both = 'Invalid value: "": may not be specified when `value` is not empty'
    for number, variable in enumerate(container.get("env") or []):
        if not variable.get("name"):
            causes.append((f"{field}.env[{number}].name", "Required value"))
        if variable.get("value") and variable.get("valueFrom"):
            causes.append((f"{field}.env[{number}].valueFrom", both))
    return causes


def _resources(resources: Object, field: str) -> Causes:
    causes: Causes = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            try:
                quantities.parse(amount)
            except ValueError as error:
                causes.append((f"{field}.{kind}[{name}]", f'Invalid value: "{amount}": {error}'))
    return causes or [cause for name in requests for cause in _request(name, requests[name], limits.get(name), field)]


def _request(name: str, amount: Any, limit: Any, field: str) -> Causes:
    """A request is at most the limit; of an extended resource (``google.com/tpu``) it is the limit."""
    extended = "/" in name
    if limit is None:
        missing = "Required value: Limit must be set for non overcommitable resources"
        return [(f"{field}.limits", missing)] if extended else []
    have, most = quantities.parse(amount), quantities.parse(limit)
    if have > most or (extended and have != most):
        rule = "equal to" if extended else "less than or equal to"
        return [(f"{field}.requests", f'Invalid value: "{amount}": must be {rule} {name} limit of {limit}')]
    return []


def _toleration(toleration: Object, field: str) -> Causes:
    operator, effect = toleration.get("operator") or "Equal", toleration.get("effect")
    if operator == "Exists" and toleration.get("value"):
        return [(f"{field}.operator", "Invalid value: value must be empty when `operator` is 'Exists'")]
    if not toleration.get("key") and operator != "Exists":
        return [(f"{field}.operator", f'Invalid value: "{operator}": operator must be Exists when `key` is empty')]
    if effect not in (None, "", "NoSchedule", "PreferNoSchedule", "NoExecute"):
        return [
            (
                f"{field}.effect",
                f'Unsupported value: "{effect}": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"',
            )
        ]
    return []


def _job(spec: Object) -> Causes:
    causes: Causes = []
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if (value := spec.get(name)) is not None and value < 0:
            causes.append((f"spec.{name}", f"Invalid value: {value}: must be greater than or equal to 0"))
    template = spec["template"]
    causes += labels(template["metadata"].get("labels") or {}, "spec.template.labels")
    causes += pod_spec(template["spec"], "spec.template.spec", ("OnFailure", "Never"))
    names = {container.get("name") for container in template["spec"].get("containers") or []}
    if spec.get("podFailurePolicy") and template["spec"].get("restartPolicy") != "Never":
        causes.append(
            (
                "spec.template.spec.restartPolicy",
                'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
            )
        )
    for number, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules", [])):
        causes += _rule(rule, f"spec.podFailurePolicy.rules[{number}]", names)
    return causes


def _rule(rule: Object, field: str, containers: set[Any]) -> Causes:
    if rule.get("action") not in ("Ignore", "FailJob", "Count", "FailIndex"):
        return [(f"{field}.action", f'Unsupported value: "{rule.get("action")}"')]
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions")
    if bool(codes) == bool(patterns):
        return [(field, "Invalid value: specifying one of OnExitCodes and OnPodConditions is required")]
    if not codes:
        return [(f"{field}.onPodConditions", "Required value") for pattern in patterns if not pattern.get("type")]
    if codes.get("operator") not in ("In", "NotIn"):
        return [(f"{field}.onExitCodes.operator", f'Unsupported value: "{codes.get("operator")}"')]
    if not codes.get("values"):
        return [(f"{field}.onExitCodes.values", "Invalid value: at least one value is required")]
    if codes["operator"] == "In" and 0 in codes["values"]:
        return [(f"{field}.onExitCodes.values", "Invalid value: 0: must not be 0 for the In operator")]
    if codes.get("containerName") and codes["containerName"] not in containers:
        return [
            (
                f"{field}.onExitCodes.containerName",
                f'Invalid value: "{codes["containerName"]}": must be one of the container names',
            )
        ]
    return []
