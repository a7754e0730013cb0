"""What is kept of a Job, a pod and an event in memory: the fields that a status is made of, and nothing else.

A Job may carry megabytes (environment, annotations, managed fields) and a triggerer follows thousands. A shape names
the fields, and a reader made of it never builds the others: that is a fifth of the work, and what keeps a burst of
thousands of changes from holding up the event loop. What
:func:`~airflow_provider_kinetic.model.kubernetes.status.status_of` says of the kept part is what it says of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional, TypedDict

import msgspec

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.job import QUEUE_LABEL
from airflow_provider_kinetic.model.kubernetes.objects import entries, section, text

Object = Mapping[str, Any]
Shape = Mapping[str, Any]
"""By field: None (all of it), the shape of an object, or, in a list, the shape of each object of a list."""

JOB_NAME = ("job-name", "batch.kubernetes.io/job-name")
"""Labels by which a pod names its Job (contract M6)."""


def _identity(**more: Any) -> dict[str, Any]:
    return {"name": None, "uid": None, "resourceVersion": None, "creationTimestamp": None, **more}


_CONDITION = {"type": None, "status": None, "reason": None, "message": None, "lastTransitionTime": None}
_STATE = {
    "waiting": {"reason": None, "message": None},
    "running": {"startedAt": None},
    "terminated": {"reason": None, "message": None, "exitCode": None, "startedAt": None, "finishedAt": None},
}
_CONTAINER_STATUS = {"name": None, "image": None, "state": _STATE, "lastState": _STATE}

JOB: Shape = {
    "metadata": _identity(deletionTimestamp=None, labels={QUEUE_LABEL: None}),
    "spec": {
        "suspend": None,
        "activeDeadlineSeconds": None,
        "template": {"spec": {"containers": [{"env": [{"name": None, "value": None}]}]}},
    },
    "status": {"succeeded": None, "failed": None, "completionTime": None, "conditions": [_CONDITION]},
}
POD: Shape = {
    "metadata": _identity(
        deletionTimestamp=None, labels=dict.fromkeys(JOB_NAME), ownerReferences=[{"kind": None, "uid": None}]
    ),
    "spec": {
        "nodeName": None,
        "nodeSelector": None,
        "containers": [
            {
                "name": None,
                "image": None,
                "resources": {"limits": {"memory": None}, "requests": {"memory": None}},
            }
        ],
    },
    "status": {
        "phase": None,
        "reason": None,
        "message": None,
        "conditions": [_CONDITION],
        "initContainerStatuses": [_CONTAINER_STATUS],
        "containerStatuses": [_CONTAINER_STATUS],
    },
}
EVENT: Shape = {
    "metadata": {"name": None, "creationTimestamp": None},
    "involvedObject": {"kind": None, "name": None},
    "reason": None,
    "message": None,
    "type": None,
    "series": {"lastObservedTime": None},
    "lastTimestamp": None,
    "eventTime": None,
    "firstTimestamp": None,
}


STATUS = {"code": None, "message": None}
"""Of an error that a watch tells."""


class Reader:
    """Reads answers of a server as far as ``shape`` goes."""

    def __init__(self, shape: Shape) -> None:
        listed = {"metadata": {"resourceVersion": None, "continue": None}, "items": [shape]}
        self._page, self._page_reader = listed, _reader(listed)
        told = {"type": None, "object": _both(shape, STATUS)}
        self._event, self._event_reader = told, _reader(told)

    def page(self, body: bytes) -> Object:
        """A page of a listing.

        :raises ValueError: it is not JSON.
        """
        return _read(body, self._page_reader, self._page)

    def event(self, line: bytes) -> Object:
        """One line of a watch: ``type`` and ``object``.

        :raises ValueError: it is not JSON.
        """
        return _read(line, self._event_reader, self._event)


def _both(shape: Shape, other: Shape) -> Shape:
    return {**other, **shape}


def _reader(shape: Shape) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_type_of(shape))


def _type_of(shape: Any) -> Any:
    if shape is None:
        return Any
    if isinstance(shape, list):
        return Optional[list[_type_of(shape[0])]]  # type: ignore[misc]  # noqa: UP045
    fields = {field: _type_of(part) for field, part in shape.items()}
    return Optional[TypedDict("Part", fields, total=False)]  # type: ignore[operator]  # noqa: UP045


def _read(body: bytes, reader: msgspec.json.Decoder[Any], shape: Shape) -> Object:
    try:
        found = reader.decode(body)
    except msgspec.DecodeError:  # something in it is of another kind than it should be, or it is no JSON at all
        found = pruned(json.loads(body), shape)
    return found or {}


def pruned(raw: Any, shape: Any) -> Any:
    """The part of ``raw`` that ``shape`` names; never raises."""
    if shape is None:
        return raw
    if isinstance(shape, list):
        return [pruned(item, shape[0]) for item in raw] if isinstance(raw, list) else None
    if isinstance(raw, Mapping):
        return {field: pruned(raw[field], part) for field, part in shape.items() if raw.get(field) is not None}
    return None


def without_environment(job: Object) -> Object:
    """Of all variables only the one that a status shows is kept."""
    for container in entries(job, "spec", "template", "spec", "containers"):
        budget = [one for one in entries(container, "env") if text(one, "name") == protocol.ENV_MAX_PREEMPTIONS]
        if isinstance(container, dict):
            container["env"] = budget
    return job


def job_of(pod: Object) -> str:
    """Name of the Job that a pod belongs to; empty where it says none."""
    return next((name for label in JOB_NAME if (name := text(pod, "metadata", "labels", label))), "")


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An object as text: a third of the memory, and nothing that the garbage collector has to walk through.

    With objects of ten thousand jobs in memory each full collection would hold up the event loop for seconds.
    """

    uid: str
    version: str
    body: bytes
    """Without the version, which also grows for what nobody keeps: equal bodies say the same."""

    @classmethod
    def of(cls, obj: Object) -> Kept:
        meta = {key: value for key, value in section(obj, "metadata").items() if key != "resourceVersion"}
        body = msgspec.json.encode({**obj, "metadata": meta})
        return cls(text(obj, "metadata", "uid"), text(obj, "metadata", "resourceVersion"), body)

    @property
    def whole(self) -> Object:
        found: Object = msgspec.json.decode(self.body)
        return found

    def older(self, other: Kept) -> bool:
        """Whether this is an earlier version of the same object.

        Versions compare as numbers where they are numbers (Kubernetes API concepts, "Resource versions").
        """
        numbers = self.version.isdecimal() and other.version.isdecimal()
        return numbers and self.uid == other.uid and int(self.version) < int(other.version)
