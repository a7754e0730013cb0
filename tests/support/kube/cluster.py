"""A client's view of a cluster, loopback or real: what tests of the API's behaviour assert with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes import client

IMAGE = "python:3-slim"
"""What :func:`job` runs; on a real cluster, the one of ``--job-image``."""
PATIENCE = 20.0


@dataclass
class Cluster:
    """Clients for one namespace that is the test's own."""

    api: client.ApiClient
    namespace: str

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @property
    def batch(self) -> client.BatchV1Api:
        return client.BatchV1Api(self.api)

    def pods(self, job: str) -> list[Any]:
        return self.core.list_namespaced_pod(self.namespace, label_selector=f"job-name={job}").items

    def job(self, name: str) -> Any:
        return self.batch.read_namespaced_job(name, self.namespace)

    def run(self, name: str, code: str, **spec: Any) -> Any:
        return self.batch.create_namespaced_job(self.namespace, job(name, code, **spec))

    def log(self, pod: str, **options: Any) -> str:
        """The client makes ``str(bytes)`` of a log (kubernetes 36), so the body is read here."""
        answer = self.core.read_namespaced_pod_log(pod, self.namespace, _preload_content=False, **options)
        return str(answer.data.decode())

    def pod_runs(self, name: str) -> Any:
        """The Job's pod, as soon as it runs."""
        return eventually(lambda: next((pod for pod in self.pods(name) if pod.status.phase == "Running"), None))

    def ended(self, name: str) -> Any:
        """The Job, as soon as it is Complete or Failed."""
        return eventually(lambda: (found := self.job(name)) and ends(found) and found)


def job(name: str, code: str, *, pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Job like ours: one container that runs ``code`` in Python."""
    container = {"name": "kinetic-worker", "image": IMAGE, "command": ["python3", "-u", "-c", code]}
    template = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, **(pod or {})}
    template["containers"] = [container | template.pop("container", {})]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app": "kinetic-test"}},
        "spec": {"backoffLimit": 0, "template": {"spec": template}, **spec},
    }


def ends(found: Any) -> dict[str, str]:
    """The conditions with which a Job ended, with their reasons."""
    return {
        each.type: each.reason
        for each in found.status.conditions or []
        if each.type in ("Complete", "Failed") and each.status == "True"
    }


def eventually(look: Callable[[], Any], patience: float | None = None) -> Any:
    """What ``look`` returns as soon as that is true; AssertionError when it never is."""
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    while not (found := look()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.03)
    return found
