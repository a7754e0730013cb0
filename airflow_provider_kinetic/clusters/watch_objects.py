"""What is kept of a Job, a pod and an event in memory: the fields that a status is made of, and nothing else.

A Job may carry megabytes (environment, annotations, managed fields) and a triggerer follows thousands. A shape names
the fields; keys are those of the shape, so a thousand jobs share their strings. What
:func:`~airflow_provider_kinetic.model.kubernetes.status.status_of` says of the kept part is what it says of the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.job import QUEUE_LABEL
from airflow_provider_kinetic.model.kubernetes.objects import text

Object = Mapping[str, Any]
Shape = Mapping[str, Any]
"""By field: None (all of it), a shape (of the object, or of each object in a list), or a function of the value."""

JOB_NAME = ("job-name", "batch.kubernetes.io/job-name")
"""Labels by which a pod names its Job (contract M6)."""

_SHORT = 64
"""Longest text that is worth to be shared: reasons and states are, messages are not."""


def _budget(environment: Any) -> Any:
    """Of the variables the one that a status shows."""
    variables = environment if isinstance(environment, list) else []
    return [one for one in variables if text(one, "name") == protocol.ENV_MAX_PREEMPTIONS]


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
        "template": {"spec": {"containers": {"env": _budget}}},
    },
    "status": {"succeeded": None, "failed": None, "completionTime": None, "conditions": _CONDITION},
}
POD: Shape = {
    "metadata": _identity(
        deletionTimestamp=None, labels=dict.fromkeys(JOB_NAME), ownerReferences={"kind": None, "uid": None}
    ),
    "spec": {
        "nodeName": None,
        "nodeSelector": None,
        "containers": {
            "name": None,
            "image": None,
            "resources": {"limits": {"memory": None}, "requests": {"memory": None}},
        },
    },
    "status": {
        "phase": None,
        "reason": None,
        "message": None,
        "conditions": _CONDITION,
        "initContainerStatuses": _CONTAINER_STATUS,
        "containerStatuses": _CONTAINER_STATUS,
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


def pruned(raw: Any, shape: Shape | Callable[[Any], Any] | None) -> Any:
    """The part of ``raw`` that ``shape`` names; a pure function that never raises."""
    if shape is None:
        return sys.intern(raw) if type(raw) is str and len(raw) < _SHORT else raw
    if callable(shape):
        return shape(raw)
    if isinstance(raw, Mapping):
        return {field: pruned(raw[field], part) for field, part in shape.items() if raw.get(field) is not None}
    if isinstance(raw, list):
        return [pruned(item, shape) for item in raw]
    return None


def job_of(pod: Object) -> str:
    """Name of the Job that a pod belongs to; empty where it says none."""
    return next((name for label in JOB_NAME if (name := text(pod, "metadata", "labels", label))), "")


def older(one: Object, other: Object) -> bool:
    """Whether ``one`` is an earlier version of the same object than ``other``.

    Versions compare as numbers where they are numbers (Kubernetes API concepts, "Resource versions"); others never are.
    """
    if text(one, "metadata", "uid") != text(other, "metadata", "uid"):
        return False
    versions = [text(each, "metadata", "resourceVersion") for each in (one, other)]
    return all(version.isdecimal() for version in versions) and int(versions[0]) < int(versions[1])
