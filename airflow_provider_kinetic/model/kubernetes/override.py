"""Merging a part of a pod template over ours: the way out for all that has no parameter.

The rules are those that ``kubectl patch`` users know (strategic merge): maps are merged, lists of named
things by their name, tolerations are added, ``None`` removes, everything else is replaced. What makes the
job findable and runnable stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.labels import check_labels

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
"""Merge keys of lists: the ``patchMergeKey`` tags of Kubernetes' API."""
_ADDED = ("tolerations", "envFrom")
_FIXED = ("name", "command", "args")
_FIXED_ENV = (protocol.ENV_JOB_ID, protocol.ENV_BUCKET, protocol.ENV_OUTPUT_DIR)


def merged(template: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """The pod template with the override applied; neither argument is changed.

    :raises ConfigurationError: the override changes what identifies or starts the job, or is no part of a template.
    """
    _check(override)
    result = _map(template, override, "pod_override")
    _check_untouched(template, result)
    return result


def _check(override: Mapping[str, Any]) -> None:
    strange = [name for name in _mapping(override, "pod_override") if name not in ("metadata", "spec")]
    if strange:
        raise ConfigurationError(
            f"`pod_override` has {strange[0]!r}.",
            advice='It is part of a pod template: `pod_override={"metadata": {…}, "spec": {…}}`.',
        )
    metadata = _mapping(override.get("metadata") or {}, "pod_override.metadata")
    for name in metadata:
        if name not in ("labels", "annotations"):
            raise _identifies(f"metadata.{name}")
    check_labels(_mapping(metadata.get("labels") or {}, "pod_override.metadata.labels"), "pod_override")


def _check_untouched(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    ours, theirs = before["metadata"], after.get("metadata") or {}
    for part in ("labels", "annotations"):
        for key, value in ours.get(part, {}).items():
            if (theirs.get(part) or {}).get(key) != value:
                raise _identifies(f"metadata.{part}[{key!r}]")
    spec = after.get("spec") or {}
    if spec.get("restartPolicy") != before["spec"]["restartPolicy"]:
        raise _identifies("spec.restartPolicy")
    _check_container(before["spec"]["containers"][0], (spec.get("containers") or [{}])[0])


def _check_container(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name in _FIXED:
        if after.get(name) != before[name]:
            raise _identifies(f"spec.containers[{before['name']}].{name}")
    env = _keyed(after.get("env") or (), "name")
    for name, variable in _keyed(before["env"], "name").items():
        if name in _FIXED_ENV and env.get(name) != variable:
            raise _identifies(f"spec.containers[{before['name']}].env[{name}]")


def _map(base: Mapping[str, Any], patch: Any, path: str) -> dict[str, Any]:
    result = dict(base)
    for name, value in _mapping(patch, path).items():
        result.pop(name, None)
        if value is not None:
            result[name] = _value(base.get(name), value, name, f"{path}.{name}")
    return {name: result[name] for name in [*base, *result] if name in result}


def _value(base: Any, value: Any, name: str, path: str) -> Any:
    if name in _KEYS:
        return _list(base or [], value, _KEYS[name], path)
    if name in _ADDED:
        return [*(base or []), *(item for item in _sequence(value, path) if item not in (base or []))]
    if isinstance(base, Mapping):
        return _map(base, value, path)
    return value


def _list(base: list[Any], patch: Any, key: str, path: str) -> list[Any]:
    result = _keyed(base, key)
    for item in _sequence(patch, path):
        if not isinstance(item, Mapping) or key not in item:
            raise ConfigurationError(
                f"`{path}`: an item has no {key!r}.", advice=f"Items are merged by {key!r}: give each of them one."
            )
        result[item[key]] = _map(result.get(item[key], {}), item, path)
    return list(result.values())


def _keyed(items: Iterable[Any], key: str) -> dict[Any, Any]:
    return {item[key]: item for item in items}


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"`{path}` must be a dict, not {value!r:.100}.", advice=f"Write `{path}` as a dict.")
    return value


def _sequence(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"`{path}` must be a list, not {value!r:.100}.", advice=f"Write `{path}` as a list.")
    return list(value)


def _identifies(field: str) -> ConfigurationError:
    return ConfigurationError(
        f"`pod_override` changes {field}, by which the job is found and run.",
        advice=f"Leave {field} out of `pod_override`.",
    )
