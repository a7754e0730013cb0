"""What a container sees: its variables, and folders of this machine in place of its mounts.

A process cannot be given other paths without privileges, so a mount's path, and the path of the termination message, is
replaced by the real one wherever it stands in the command, the arguments or a variable. The termination message's file
is also named by the variable KINETIC_TERMINATION_LOG.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

from kube.errors import Object
from kube.resources import CONFIG_MAPS, SECRETS, Resource
from kube.store import Store

TERMINATION_VARIABLE = "KINETIC_TERMINATION_LOG"


class ConfigError(Exception):
    """A Secret, ConfigMap or key is missing: the container waits in CreateContainerConfigError."""


class PodEnvironment:
    """``folder`` belongs to the pod; ``base`` are the variables that every container has."""

    def __init__(self, store: Store, pod: Object, folder: Path, base: Mapping[str, str]) -> None:
        self._store = store
        self._pod = pod
        self._folder = folder
        self._base = base

    def termination_log(self, container: Object) -> Path:
        return self._folder / f"{container['name']}.termination"

    def work(self, container: Object) -> Path:
        folder = self._folder / container["name"]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def command(self, container: Object, image_command: tuple[str, ...], variables: Mapping[str, str]) -> list[str]:
        argv = [*(container.get("command") or image_command), *(container.get("args") or [])]
        return [self._real(container, expanded(word, variables)) for word in argv]

    def variables(self, container: Object, image: Mapping[str, str]) -> dict[str, str]:
        meta = self._pod["metadata"]
        given = {**self._base, **image, "HOSTNAME": meta["name"][:63], "HOME": str(self.work(container))}
        given[TERMINATION_VARIABLE] = str(self.termination_log(container))
        for source in container.get("envFrom") or []:
            for key, value in self._all(source).items():
                given[source.get("prefix", "") + key] = value
        for variable in container.get("env") or []:
            value = self._value(variable, container)
            if value is not None:
                given[variable["name"]] = self._real(container, expanded(value, given))
        return given

    def _value(self, variable: Object, container: Object) -> str | None:
        source = variable.get("valueFrom") or {}
        if "secretKeyRef" in source:
            return self._key(SECRETS, source["secretKeyRef"])
        if "configMapKeyRef" in source:
            return self._key(CONFIG_MAPS, source["configMapKeyRef"])
        if "fieldRef" in source:
            return self._field(source["fieldRef"]["fieldPath"])
        if "resourceFieldRef" in source:
            kind, _, name = source["resourceFieldRef"]["resource"].partition(".")
            return str(container["resources"].get(kind, {}).get(name, "0"))
        return variable.get("value") or ""

    def _field(self, path: str) -> str:
        if match := re.match(r"^metadata\.(labels|annotations)\['([^']+)'\]$", path):
            return str(self._pod["metadata"].get(match[1], {}).get(match[2], ""))
        value: object = self._pod
        for step in path.split("."):
            value = value.get(step, "") if isinstance(value, dict) else ""
        return str(value)

    def _key(self, resource: Resource, reference: Object) -> str | None:
        content = self._content(resource, reference)
        if content is None:
            return None
        if reference["key"] not in content:
            if reference.get("optional"):
                return None
            where = f"{self._pod['metadata']['namespace']}/{reference['name']}"
            raise ConfigError(f"couldn't find key {reference['key']} in {resource.kind} {where}")
        return content[reference["key"]]

    def _all(self, source: Object) -> dict[str, str]:
        if "secretRef" in source:
            return self._content(SECRETS, source["secretRef"]) or {}
        return self._content(CONFIG_MAPS, source.get("configMapRef", {})) or {}

    def _content(self, resource: Resource, reference: Object) -> dict[str, str] | None:
        name = reference.get("name") or reference.get("secretName", "")
        found = self._store.find(resource, self._pod["metadata"]["namespace"], name)
        if found is None:
            if reference.get("optional"):
                return None
            raise ConfigError(f'{resource.kind.lower()} "{name}" not found')
        return texts(found)

    def _real(self, container: Object, text: str) -> str:
        places = {container["terminationMessagePath"]: str(self.termination_log(container))}
        places |= {mount["mountPath"]: str(self._volume(mount)) for mount in container.get("volumeMounts") or []}
        for path in sorted(places, key=len, reverse=True):
            text = re.sub(re.escape(path.rstrip("/")) + r"(?=$|[/:,;\s'\")])", lambda _, to=places[path]: to, text)
        return text

    def _volume(self, mount: Object) -> Path:
        volume = next(each for each in self._pod["spec"]["volumes"] if each["name"] == mount["name"])
        if "hostPath" in volume:
            return Path(volume["hostPath"]["path"])
        folder = self._folder / "volumes" / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        for resource, kind in ((SECRETS, "secret"), (CONFIG_MAPS, "configMap")):
            for key, value in (self._content(resource, volume[kind]) or {}).items() if kind in volume else ():
                (folder / key).write_text(value)
        return folder / mount["subPath"] if mount.get("subPath") else folder


def texts(obj: Object) -> dict[str, str]:
    """The content of a Secret or ConfigMap."""
    if obj["kind"] == "ConfigMap":
        return dict(obj.get("data") or {})
    content = {key: base64.b64decode(value).decode() for key, value in (obj.get("data") or {}).items()}
    return content | (obj.get("stringData") or {})


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes the variable's value, or stays where there is none; ``$$`` is one dollar."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]+)\)", replace, text)
