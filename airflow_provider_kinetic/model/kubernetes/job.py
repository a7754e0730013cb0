"""A manifest as a batch/v1 Job, equal to upstream's field by field apart from what docs/kubernetes.md declares.

Upstream's clients list, watch, tail and delete what stands here (contract 3.3), so a field is added only
for a reason that the table gives, and none is taken away.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model import accelerators
from airflow_provider_kinetic.model.accelerators import Accelerator
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes import fuse
from airflow_provider_kinetic.model.kubernetes.environment import environment_of, literally
from airflow_provider_kinetic.model.kubernetes.labels import labels_of, pod_labels_of
from airflow_provider_kinetic.model.kubernetes.override import merged
from airflow_provider_kinetic.model.kubernetes.secret import secret_name
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.target import Platform

CONTAINER = "kinetic-worker"
TTL = 7 * 24 * 3600
"""Seconds that a finished Job stays."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
DEBUG_PORT = 5678

_OBJECT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_REQUESTS = ("cpu", "memory", "ephemeral-storage")
_QUANTITY = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?", re.ASCII)
"""Kubernetes, "Quantity", without those below zero."""


def default_service_account(platform: Platform) -> str | None:
    """Upstream's ``up`` makes ``kinetic`` on GKE; elsewhere there is only the namespace's own (``design`` 3.16)."""
    return "kinetic" if platform == "gke" else None


def render(manifest: JobManifest, *, has_secrets: bool = False) -> dict[str, Any]:
    """The Job to create. ``has_secrets``: a Secret of this job follows (``secret.render_secret``).

    :raises ConfigurationError: labels, variables, requests or ``pod_override`` that cannot be honoured.
    :raises AcceleratorError: there is no such accelerator.
    """
    mounting = fuse.ANNOTATIONS if manifest.fuse_mounts else {}
    template = {
        "metadata": {
            "labels": pod_labels_of(manifest),
            **_given("annotations", {**manifest.annotations, **mounting}),
        },
        "spec": _pod_spec(manifest, has_secrets),
    }
    queued = _given(QUEUE_LABEL, _name("queue_name", manifest.queue, longest=63))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": manifest.name,
            "namespace": manifest.namespace,
            "labels": {**labels_of(manifest), **queued},
            **_given("annotations", dict(manifest.annotations)),
        },
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": TTL,
            **_given("activeDeadlineSeconds", _seconds(manifest.active_deadline)),
            **_given("suspend", True if manifest.queue else None),
            "podFailurePolicy": _failure_policy(),
            "template": merged(template, manifest.pod_override),
        },
    }


def _failure_policy() -> dict[str, Any]:
    """What is final comes first: a machine that is taken away meanwhile must not buy one more start."""
    final = {"containerName": CONTAINER, "operator": "In", "values": list(protocol.FINAL_EXITS)}
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": final},
            {"action": "Ignore", "onPodConditions": disrupted},
        ]
    }


def _pod_spec(manifest: JobManifest, has_secrets: bool) -> dict[str, Any]:
    accelerator = accelerators.parse(manifest.accelerator, spot=manifest.spot)
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _seconds(manifest.stop_grace),
        **_given("serviceAccountName", _name("service_account", manifest.service_account)),
        **_given("priorityClassName", _name("priority_class", manifest.priority_class)),
        **_given("nodeSelector", accelerator.node_selector),
        **_given("tolerations", accelerator.tolerations),
        "containers": [_container(manifest, accelerator, has_secrets)],
        **_given("volumes", fuse.volumes_of(manifest.fuse_mounts)),
    }


def _container(manifest: JobManifest, accelerator: Accelerator, has_secrets: bool) -> dict[str, Any]:
    command, args = split_command(manifest.command)
    secret = [{"secretRef": {"name": secret_name(manifest.name)}}] if has_secrets else None
    return {
        "name": CONTAINER,
        "image": manifest.image,
        "command": [literally(word) for word in command],
        "args": [literally(word) for word in args],
        "env": environment_of(manifest),
        **_given("envFrom", secret),
        "resources": {
            "limits": accelerator.resource,
            "requests": {**accelerator.resource, **_requests(manifest.requests)},
        },
        **_given("volumeMounts", fuse.mounts_of(manifest.fuse_mounts)),
        **_given("ports", [{"containerPort": DEBUG_PORT, "name": "debugpy"}] if manifest.debug else None),
    }


def split_command(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What starts the runner, and the runner's own flags, which begin at the first one with two dashes."""
    first = next((at for at, word in enumerate(argv) if word.startswith("--")), len(argv))
    return list(argv[:first]), list(argv[first:])


def _requests(requests: Mapping[str, str]) -> dict[str, str]:
    for name in requests:
        if name not in _REQUESTS:
            raise ConfigurationError(
                f"`requests` has {name!r}.",
                advice=f"There are: {', '.join(_REQUESTS)}. GPUs and TPUs are asked for with `accelerator`.",
            )
    return {name: _quantity(name, quantity) for name, quantity in requests.items()}


def _quantity(name: str, quantity: Any) -> str:
    text = str(quantity)
    if isinstance(quantity, bool) or not _QUANTITY.fullmatch(text):
        raise ConfigurationError(
            f"`requests`: {quantity!r:.100} is no quantity of {name}.",
            advice="Write a quantity of Kubernetes: cpu '4' or '500m', memory '16Gi', ephemeral-storage '100Gi'.",
        )
    return text


def _name(parameter: str, name: str | None, longest: int = 253) -> str | None:
    """Of an object of the cluster (Kubernetes, "Object Names and IDs")."""
    if name and not (len(name) <= longest and _OBJECT.fullmatch(name)):
        raise ConfigurationError(
            f"`{parameter}` is {name!r:.300}, which cannot be a name in a cluster.",
            advice=f"Use small letters, digits, `-` and `.` in `{parameter}`.",
        )
    return name


def _given(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}


def _seconds(value: float | None) -> int | None:
    return None if value is None else math.ceil(value)
