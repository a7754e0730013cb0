"""Label and field selectors, by the grammar of the API server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kube.errors import Object, Refusal
from kube.resources import Resource

Test = Callable[[Object], bool]

FIELDS = {
    "pods": {
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        *("status.phase", "status.podIP", "status.nominatedNodeName"),
    },
    "jobs": {"status.successful"},
    "events": {
        *("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid"),
        *("involvedObject.apiVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"),
    },
    "namespaces": {"status.phase"},
    "nodes": {"spec.unschedulable"},
    "secrets": {"type"},
}
"""Fields that can be selected besides name and namespace; any other is refused."""

_SET = re.compile(r"^([^\s,!=()]+)\s+(in|notin)\s+\(([^)]*)\)$")
_EQUALS = re.compile(r"^([^\s,!=()]+)\s*(==|=|!=)\s*([^\s,!=()]*)$")
_EXISTS = re.compile(r"^(!?)\s*([^\s,!=()]+)$")


def labels(selector: str) -> Test:
    """Whether an object carries the labels; 400 where the selector cannot be read."""
    tests = [_requirement(part.strip(), selector) for part in _split(selector) if part.strip()]
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def _split(selector: str) -> list[str]:
    return re.split(r",(?![^(]*\))", selector)


def _requirement(part: str, selector: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.match(part):
        key, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        return (
            (lambda have: have.get(key) in values) if operator == "in" else (lambda have: have.get(key) not in values)
        )
    if match := _EQUALS.match(part):
        key, operator, value = match.groups()
        return (lambda have: have.get(key) != value) if operator == "!=" else (lambda have: have.get(key) == value)
    if match := _EXISTS.match(part):
        absent, key = match.groups()
        return (lambda have: key not in have) if absent else (lambda have: key in have)
    raise Refusal(400, f"unable to parse requirement: {selector!r}")


def fields(selector: str, resource: Resource) -> Test:
    """Whether an object's fields have the values; 400 for a field that this kind does not offer."""
    known = FIELDS.get(resource.plural, set()) | {"metadata.name", "metadata.namespace"}
    tests = []
    for part in filter(None, (part.strip() for part in selector.split(","))):
        match = re.match(r"^([\w.]+)(==|=|!=)(.*)$", part)
        if match is None:
            raise Refusal(400, f"invalid field selector: {selector!r}")
        path, operator, value = match.groups()
        if path not in known:
            raise Refusal(400, f'field label not supported: "{path}"')
        tests.append((path, operator == "!=", value))
    return lambda obj: all((_field(obj, path) == value) != negated for path, negated, value in tests)


def _field(obj: Object, path: str) -> str:
    if path == "status.successful":
        return str(obj.get("status", {}).get("succeeded", 0))
    if path == "source":
        return str(obj.get("source", {}).get("component", ""))
    value: Any = obj
    for step in path.split("."):
        value = (value or {}).get(step)
    return "" if value is None else str(value)
