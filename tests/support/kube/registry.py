"""Writes by the rules of the API server: defaulting, validation, admission, versions, graceful and cascading deletes.

Controllers write through it as clients do.
"""

from __future__ import annotations

import json
import random
from typing import Any

from kube import defaults, immutability, patches, validation
from kube.admission import Admission
from kube.errors import Object, Refusal, conflict, invalid
from kube.resources import JOBS, NAMESPACES, PODS, Resource
from kube.store import Store, copied, deleting

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LARGEST = 1_500_000  # bytes of one object: the limit of etcd


class Registry:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.admission = Admission(store)

    def create(self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        obj = copied(body)
        _check_envelope(resource, obj, namespace)
        meta = obj["metadata"]
        for field in (
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "deletionTimestamp",
            "generation",
            "managedFields",
        ):
            if field == "resourceVersion" and meta.get(field):
                raise Refusal(500, "resourceVersion should not be set on objects to be created")
            meta.pop(field, None)
        if resource.namespaced:
            meta["namespace"] = namespace
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + "".join(random.choices(_LETTERS, k=5))
        if resource in (JOBS, PODS) or resource.custom:
            meta["generation"] = 1
        defaults.apply(resource, obj)
        if causes := validation.problems(resource, obj):
            raise invalid(resource, meta.get("name") or "", causes)
        self.admission.admit(resource, obj)
        _check_size(obj)
        if dry_run:
            return obj | {"metadata": {"uid": "", **meta, "creationTimestamp": self.store.clock.stamp()}}
        return self.store.create(resource, obj)

    def update(self, resource: Resource, namespace: str, name: str, body: Object, subresource: str = "") -> Object:
        """PUT of an object or of its ``status`` alone; what belongs to the other part is left as it is."""
        with self.store.lock:
            old = self.store.get(resource, namespace, name)
            new = copied(body)
            _check_envelope(resource, new, namespace)
            if new["metadata"].get("name") not in (None, name):
                raise Refusal(400, "the name of the object does not match the name on the URL")
            if new["metadata"].get("uid") not in (None, old["metadata"]["uid"]):
                why = f"Precondition failed: UID in precondition: {new['metadata']['uid']}, "
                raise conflict(resource, name, f"{why}UID in object meta: {old['metadata']['uid']}")
            new = _only_status(old, new) if subresource == "status" else self._without_status(resource, old, new)
            _check_size(new)
            return self.store.update(resource, new)

    def _without_status(self, resource: Resource, old: Object, new: Object) -> Object:
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            if field in old["metadata"]:
                new["metadata"][field] = old["metadata"][field]
        new["metadata"] |= {"name": old["metadata"]["name"]}
        if resource.namespaced:
            new["metadata"]["namespace"] = old["metadata"]["namespace"]
        if "status" in old:
            new["status"] = old["status"]
        causes = validation.metadata(resource, new["metadata"]) + immutability.problems(resource, old, new)
        if deleting(old) and set(new["metadata"].get("finalizers", [])) - set(old["metadata"].get("finalizers", [])):
            causes.append(
                ("metadata.finalizers", "Forbidden: no new finalizers can be added if the object is being deleted")
            )
        if causes:
            raise invalid(resource, old["metadata"]["name"], causes)
        if "generation" in old["metadata"] and old.get("spec") != new.get("spec"):
            new["metadata"]["generation"] += 1
        return new

    def patch(
        self, resource: Resource, namespace: str, name: str, content_type: str, patch: Any, subresource: str = ""
    ) -> Object:
        accepted = (patches.JSON_PATCH, patches.MERGE_PATCH, *(() if resource.custom else (patches.STRATEGIC,)))
        if content_type not in accepted:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise Refusal(415, message + ", ".join(accepted))
        with self.store.lock:
            old = self.store.get(resource, namespace, name)
            return self.update(resource, namespace, name, patches.apply(content_type, old, patch), subresource)

    def delete(self, resource: Resource, namespace: str, name: str, options: Object | None = None) -> Object | None:
        """None where the object is gone at once, else the object that is now being deleted.

        A Job's pods are orphaned unless a propagation policy says otherwise, as batch/v1 has it.
        """
        options = options or {}
        with self.store.lock:
            old = self.store.get(resource, namespace, name)
            self._check_preconditions(resource, old, options.get("preconditions") or {})
            policy = options.get("propagationPolicy") or ("Orphan" if resource == JOBS else "Background")
            if policy not in ("Orphan", "Background", "Foreground"):
                raise Refusal(422, f'DeleteOptions is invalid: propagationPolicy: Unsupported value: "{policy}"')
            new = copied(old)
            grace = self._mark(resource, new, options.get("gracePeriodSeconds"))
            finalizers = [
                each for each in new["metadata"].get("finalizers", []) if each not in ("orphan", "foregroundDeletion")
            ]
            if policy != "Background" and (policy == "Foreground" or self.store.owned(old["metadata"]["uid"])):
                finalizers.append("orphan" if policy == "Orphan" else "foregroundDeletion")
            new["metadata"]["finalizers"] = finalizers
            if not finalizers:
                del new["metadata"]["finalizers"]
            if not finalizers and not grace and resource != NAMESPACES:
                self.store.remove(resource, namespace, name)
                return None
            return self.store.update(resource, new)

    def _mark(self, resource: Resource, obj: Object, asked: int | None) -> int:
        """Sets the deletion's time; returns the seconds that the object has left."""
        meta = obj["metadata"]
        grace = 0
        if resource == PODS and obj["spec"].get("nodeName") and obj["status"]["phase"] not in ("Succeeded", "Failed"):
            grace = obj["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
        if deleting(obj):
            grace = min(grace, meta.get("deletionGracePeriodSeconds", 0))
        else:
            meta["deletionTimestamp"] = self.store.clock.stamp(self.store.clock.now() + grace)
        meta["deletionGracePeriodSeconds"] = grace
        return grace

    def _check_preconditions(self, resource: Resource, obj: Object, wanted: Object) -> None:
        for field in ("uid", "resourceVersion"):
            want, have = wanted.get(field), obj["metadata"][field]
            if want not in (None, have):
                label = "UID" if field == "uid" else "ResourceVersion"
                why = f"the {label} in the precondition ({want}) does not match the {label} in record ({have}). "
                why += "The object might have been deleted and then recreated"
                raise conflict(resource, obj["metadata"]["name"], why)


def _only_status(old: Object, new: Object) -> Object:
    merged = copied(old)
    merged["status"] = new.get("status", {})
    merged["metadata"]["resourceVersion"] = new["metadata"].get("resourceVersion") or old["metadata"]["resourceVersion"]
    return merged


def _check_envelope(resource: Resource, obj: Object, namespace: str) -> None:
    """Is this the kind of object that the URL takes, and of the types that JSON has for it?"""
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if kind not in (None, "", resource.kind) or version not in (None, "", resource.api_version):
        message = f"{kind} in version {version!r} cannot be handled as a {resource.kind}: "
        message += (
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
        raise Refusal(400, message)
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    meta = obj.setdefault("metadata", {})
    if resource.namespaced and meta.get("namespace") not in (None, "", namespace):
        raise Refusal(400, "the namespace of the provided object does not match the namespace sent on the request")
    for field in ("labels", "annotations"):
        _check_strings(meta.get(field), f"ObjectMeta.metadata.{field}")
    spec = obj.get("spec") or {}
    for pod in (spec, (spec.get("template") or {}).get("spec") or {}):
        for container in pod.get("containers") or []:
            for variable in container.get("env") or []:
                _check_strings({"value": variable.get("value", "")}, "EnvVar.spec.containers.env.value")
        _check_strings(pod.get("nodeSelector"), "PodSpec.spec.nodeSelector")


def _check_strings(given: Object | None, field: str) -> None:
    for value in (given or {}).values():
        if value is not None and not isinstance(value, str):
            word = {bool: "bool", int: "number", float: "number", list: "array"}.get(type(value), "object")
            raise Refusal(400, f"json: cannot unmarshal {word} into Go struct field {field} of type string")


def _check_size(obj: Object) -> None:
    if len(json.dumps(obj, ensure_ascii=False).encode(errors="replace")) > _LARGEST:
        raise Refusal(500, "etcdserver: request is too large", reason="")
