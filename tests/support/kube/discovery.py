"""What the server tells about itself: version, API groups and their resources."""

from __future__ import annotations

from collections.abc import Iterable

from kube.errors import Object
from kube.resources import Resource

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def document(path: str, resources: Iterable[Resource]) -> Object | str | None:
    """The body for a path of discovery or health, None for any other path."""
    steps = tuple(step for step in path.split("/") if step)
    resources = list(resources)
    if steps in (("healthz",), ("livez",), ("readyz",)):
        return "ok"
    if steps == ("version",):
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64", "goVersion": "go1.26"}
    if steps == ("api",):
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    groups = {each.group: _group(each) for each in resources if each.group}
    if steps == ("apis",):
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())}
    if len(steps) == 2 and steps[0] == "apis" and steps[1] in groups:
        return {"kind": "APIGroup", "apiVersion": "v1", **groups[steps[1]]}
    version = steps[1:] if steps[:1] in (("api",), ("apis",)) else ()
    found = [each for each in resources if version and each.api_version == "/".join(version)]
    if not found:
        return None
    listed = [entry for each in found for entry in _entries(each)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "/".join(version), "resources": listed}


def _group(resource: Resource) -> Object:
    version = {"groupVersion": resource.api_version, "version": resource.version}
    return {"name": resource.group, "versions": [version], "preferredVersion": version}


def _entries(resource: Resource) -> list[Object]:
    common = {"singularName": resource.kind.lower(), "namespaced": resource.namespaced, "kind": resource.kind}
    entries = [common | {"name": resource.plural, "verbs": _VERBS}]
    if resource.plural in ("pods", "jobs", "namespaces", "nodes", "leaderworkersets"):
        entries.append(common | {"name": f"{resource.plural}/status", "verbs": ["get", "patch", "update"]})
    if resource.plural == "pods":
        entries.append(common | {"name": "pods/log", "verbs": ["get"]})
        entries.append(common | {"name": "pods/eviction", "verbs": ["create"], "kind": "Eviction", "group": "policy"})
    return entries
