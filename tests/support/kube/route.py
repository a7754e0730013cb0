"""From a URL to the resource, the object and the verb that RBAC and counters know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kube.resources import Resource

_TRUE = ("1", "t", "T", "true", "True", "TRUE")  # Go's strconv.ParseBool

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def truth(query: dict[str, str], name: str) -> bool:
    return query.get(name) in _TRUE


@dataclass(frozen=True)
class Route:
    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def plural(self) -> str:
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


def route(method: str, path: str, query: dict[str, str], resources: Iterable[Resource]) -> Route | None:
    """None where nothing lives under that path."""
    steps = [step for step in path.split("/") if step]
    if len(steps) < 3 or steps[0] not in ("api", "apis"):
        return None
    (group, version), rest = (("", steps[1]), steps[2:]) if steps[0] == "api" else ((steps[1], steps[2]), steps[3:])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    known = {(each.group, each.version, each.plural): each for each in resources}
    resource = known.get((group, version, rest[0])) if rest else None
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        return None
    name, subresource = ([*rest[1:], "", ""])[:2]
    verb = _VERBS.get(method, "")
    if not name and verb == "get":
        verb = "watch" if truth(query, "watch") else "list"
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Route(verb, resource, namespace, name, subresource)
