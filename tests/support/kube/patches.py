"""The three patch formats: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge for pods and jobs."""

from __future__ import annotations

import copy
from typing import Any

from kube.errors import Object, Refusal

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
    "conditions": "type",
    "hostAliases": "ip",
}
"""Lists that a strategic merge patch merges by a key; ``finalizers`` merges as a set; any other list is replaced."""


def apply(content_type: str, target: Object, patch: Any) -> Object:
    """A patched copy of ``target``."""
    if content_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise Refusal(400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        return json_patch(target, patch)
    if not isinstance(patch, dict):
        raise Refusal(400, "json: cannot unmarshal array into Go value of type map[string]interface {}")
    return merge(target, patch) if content_type == MERGE_PATCH else strategic(target, patch)


def merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Object, patch: Object) -> Object:
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result = copy.deepcopy(target)
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = strategic(result.get(key) or {}, value)
        elif isinstance(value, list):
            result[key] = _merge_list(key, result.get(key) or [], value)
        else:
            result[key] = value
    return result


def _merge_list(field: str, old: list[Any], new: list[Any]) -> list[Any]:
    if field == "finalizers":
        return [*old, *(item for item in new if item not in old)]
    key = MERGE_KEYS.get(field)
    if key is None or any(not isinstance(item, dict) or key not in item for item in [*old, *new]):
        return copy.deepcopy(new)
    items = {item[key]: item for item in old}
    for item in new:
        if item.get("$patch") == "delete":
            items.pop(item[key], None)
        else:
            items[item[key]] = strategic(items.get(item[key], {}), item)
    return list(items.values())


def json_patch(target: Object, operations: list[Object]) -> Object:
    document: Any = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            message = f"the server rejected our request due to an error in our request: {operation} ({error!r})"
            raise Refusal(422, message) from error
    return document


def _operate(document: Any, operation: Object) -> Any:
    verb, path = operation["op"], _pointer(operation["path"])
    if verb in ("add", "replace", "test"):
        return _put(document, path, copy.deepcopy(operation["value"]), verb)
    if verb == "remove":
        return _take(document, path)[0]
    if verb not in ("move", "copy"):
        raise ValueError(f"unknown operation {verb}")
    source = _pointer(operation["from"])
    value = copy.deepcopy(_read(document, source))
    if verb == "move":
        document = _take(document, source)[0]
    return _put(document, path, value, "add")


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError(f"no pointer: {path}")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _read(document: Any, path: list[str]) -> Any:
    for step in path:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _put(document: Any, path: list[str], value: Any, verb: str) -> Any:
    if verb == "test":
        if _read(document, path) != value:
            raise ValueError("test failed")
        return document
    if not path:
        return value
    parent, last = _read(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        position = len(parent) if last == "-" else int(last)
        if position > len(parent):
            raise IndexError(last)
        parent[position : position + (verb == "replace")] = [value]
    else:
        if verb == "replace":
            parent[last]  # it must be there
        parent[last] = value
    return document


def _take(document: Any, path: list[str]) -> tuple[Any, Any]:
    parent, last = _read(document, path[:-1]), path[-1]
    return document, parent.pop(int(last) if isinstance(parent, list) else last)
