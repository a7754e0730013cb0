"""Jobs and pods of a triggerer benchmark: what this provider renders, with all that a real API server adds.

One template for each stage of a life, as JSON text; an object is a template with its own names in it. So the server
has tens of thousands of them ready without spending the time of the machine that it shares with the measured loop.
"""

from __future__ import annotations

import json
import time
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.lifecycle.manifest import manifest_of
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.target import Target

Object = dict[str, Any]

NAMESPACE = "default"
RUNNING, ENDED, COMPLETE = 0, 1, 2
"""Stages: it runs; the process has ended; the controller is done with it."""
STARTED = 900.0
"""Seconds before the benchmark at which the jobs were started: older than any dwell."""

_INDEX = 0xAA
_NUMBER = f"{_INDEX:016x}"
_UID = f"6c1a7f0e-8a55-4a0b-9c41-{_INDEX:012x}"
"""Of the job in a template; what is behind the last hyphen is the number again."""
_VERSION = '"resourceVersion":"0"'
KINDS = {"jobs": ("Job", "batch/v1"), "pods": ("Pod", "v1"), "events": ("Event", "v1")}


def job_id(index: int) -> str:
    return f"job-{index:016x}"


def handle(index: int) -> JobHandle:
    """What the operator would have deferred with."""
    name = job_id(index)
    output_dir = "gs://kinetic-jobs/outputs/3f2a/nightly_training/train/scheduled__2026-11-22T00-00-00-00-00"
    return JobHandle(
        job_id=name,
        backend="gke",
        project="example",
        cluster_name="kinetic-cluster",
        zone="us-central1-a",
        namespace=NAMESPACE,
        bucket_name="kinetic-jobs",
        k8s_name=f"kinetic-{name}",
        image_uri="us-docker.pkg.dev/example/kinetic/jax-tpu:0f4c2d9a",
        accelerator="v5litepod-4",
        func_name="train",
        display_name="train",
        created_at="2026-11-22T00:00:00Z",
        platform="kubernetes",
        kinetic_conn_id="kinetic_default",
        store_root="gs://kinetic-jobs",
        cluster_uri="kubernetes://kubernetes_default/kinetic-cluster",
        output_root="gs://kinetic-jobs/outputs",
        output_dir=f"{output_dir}/{index}",
        payload_sha256="a" * 64,
        context_sha256="b" * 64,
        runner_sha256="c" * 64,
        spec_sha256="d" * 64,
        startup_timeout=86400.0,
        run_timeout=86400.0,
        max_preemptions=10,
        dag_id="nightly_training",
        task_id="train",
        run_id="scheduled__2026-11-22T00:00:00+00:00",
        map_index=index,
        try_number=1,
        installation="3f2a9c51",
    )


def _rendered() -> Object:
    """The Job as this provider creates it."""
    own = handle(_INDEX)
    target = Target(
        platform="kubernetes",
        kinetic_conn_id="kinetic_default",
        store_root=own.root,
        output_root=str(own.output_root),
        cluster_uri=str(own.cluster_uri),
        installation=str(own.installation),
    )
    spec = JobSpec(func_name="train", accelerator=own.accelerator, spot=True, run_timeout=own.run_timeout)
    identity = TaskIdentity(str(own.dag_id), str(own.task_id), str(own.run_id), 170)
    work = Work(function=None, args=(), kwargs={}, spec=spec, identity=identity, max_tries=1, secrets={})
    return render(manifest_of(target, work, own))


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _condition(kind: str, at: str, status: str = "True", **more: str) -> Object:
    return {"type": kind, "status": status, "lastProbeTime": at, "lastTransitionTime": at, **more}


def _meta(given: Object, made: str, fields: list[tuple[str, Object]], **more: Any) -> Object:
    managed = [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": made,
            "fieldsType": "FieldsV1",
            "fieldsV1": _field_set(owned),
        }
        for manager, owned in fields
    ]
    return {
        **given,
        "uid": _UID,
        "resourceVersion": "0",
        "creationTimestamp": made,
        "managedFields": managed,
        **more,
    }


def _field_set(owned: Any) -> Object:
    """As server-side apply writes down who owns which field."""
    if isinstance(owned, dict):
        return {f"f:{key}": _field_set(value) for key, value in owned.items()}
    return {}


def _job(stage: int, now: float) -> Object:
    rendered, made = _rendered(), _stamp(now - STARTED)
    uid = {"batch.kubernetes.io/controller-uid": _UID}
    status: Object = {"startTime": made, "active": 1, "ready": 1, "terminating": 0, "uncountedTerminatedPods": {}}
    if stage == ENDED:
        status |= {"active": 0, "ready": 0, "uncountedTerminatedPods": {"succeeded": [f"pod-{_NUMBER}"]}}
    if stage == COMPLETE:
        told = {"reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
        ends = [_condition(kind, _stamp(now), **told) for kind in ("SuccessCriteriaMet", "Complete")]
        status = {**status, "succeeded": 1, "completionTime": _stamp(now), "conditions": ends}
        del status["active"]
    spec = {
        "parallelism": 1,
        "completions": 1,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "Failed",
        "manualSelector": False,
        "selector": {"matchLabels": uid},
        **rendered["spec"],
    }
    fields = [("python-httpx", {"metadata": rendered["metadata"], "spec": rendered["spec"]})]
    fields += [("kube-controller-manager", {"status": status})]
    return {"metadata": _meta(rendered["metadata"], made, fields, generation=1), "spec": spec, "status": status}


def _pod(stage: int, now: float) -> Object:
    rendered, made = _rendered(), _stamp(now - STARTED)
    template, name = rendered["spec"]["template"], rendered["metadata"]["name"]
    container = template["spec"]["containers"][0]
    mount = {"name": "kube-api-access-x7k2p", "readOnly": True}
    mount["mountPath"] = "/var/run/secrets/kubernetes.io/serviceaccount"
    tolerated = [
        {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for why in ("not-ready", "unreachable")
    ]
    spec = {
        **template["spec"],
        "nodeName": f"gke-kinetic-tpu-pool-{_NUMBER[-8:]}",
        "schedulerName": "default-scheduler",
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "securityContext": {},
        "serviceAccount": "kinetic",
        "tolerations": template["spec"]["tolerations"] + tolerated,
        "volumes": [{"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": []}}],
        "containers": [
            {
                **container,
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [mount],
            }
        ],
    }
    status = _pod_status(stage, container["image"], made, _stamp(now))
    fields = [("kube-controller-manager", {"metadata": template["metadata"], "spec": template["spec"]})]
    fields += [("kubelet", {"status": status})]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "controller": True, "blockOwnerDeletion": True}
    owner["uid"] = _UID
    tracked = {"finalizers": ["batch.kubernetes.io/job-tracking"]} if stage < COMPLETE else {}
    given = {**template["metadata"], "name": f"{name}-x7k2p", "generateName": f"{name}-", "namespace": NAMESPACE}
    return {
        "metadata": _meta(given, made, fields, ownerReferences=[owner], **tracked),
        "spec": spec,
        "status": status,
    }


def _pod_status(stage: int, image: str, made: str, now: str) -> Object:
    ended = stage != RUNNING
    result = {"result.pkl": {"sha256": "e" * 64, "size": 4711}}
    message = protocol.encode_termination(outcome="success", phase="done", attempt=1, objects=result).decode()
    terminated = {"exitCode": 0, "reason": "Completed", "startedAt": made, "finishedAt": now, "message": message}
    container = {
        "name": "kinetic-worker",
        "ready": not ended,
        "started": not ended,
        "restartCount": 0,
        "image": image,
        "imageID": f"{image.rpartition(':')[0]}@sha256:{'f' * 64}",
        "containerID": f"containerd://{'9' * 64}",
        "lastState": {},
        "state": {"terminated": terminated} if ended else {"running": {"startedAt": made}},
        "resources": {"limits": {"google.com/tpu": "4"}, "requests": {"google.com/tpu": "4"}},
    }
    ready = {"status": "False", "reason": "PodCompleted"} if ended else {}
    return {
        "phase": "Succeeded" if ended else "Running",
        "conditions": [
            _condition("PodReadyToStartContainers", made, "False" if ended else "True"),
            _condition("Initialized", made, **({"reason": "PodCompleted"} if ended else {})),
            _condition("Ready", now if ended else made, **ready),
            _condition("ContainersReady", now if ended else made, **ready),
            _condition("PodScheduled", made),
        ],
        "hostIP": "10.128.0.17",
        "hostIPs": [{"ip": "10.128.0.17"}],
        "podIP": "10.4.2.33",
        "podIPs": [{"ip": "10.4.2.33"}],
        "qosClass": "BestEffort",
        "startTime": made,
        "containerStatuses": [container],
    }


class Templates:
    """Objects as JSON text, all of the same age."""

    def __init__(self) -> None:
        now = time.time()
        makers = {"jobs": _job, "pods": _pod}
        self._texts = {
            (plural, stage): json.dumps(make(stage, now), separators=(",", ":"))
            for plural, make in makers.items()
            for stage in (RUNNING, ENDED, COMPLETE)
        }
        rendered = _rendered()
        self._labels: dict[str, dict[str, str]] = {
            "jobs": rendered["metadata"]["labels"],
            "pods": rendered["spec"]["template"]["metadata"]["labels"],
        }
        self.sizes = {plural: len(self._texts[plural, RUNNING]) for plural in makers}

    def item(self, plural: str, stage: int, index: int, version: int) -> bytes:
        """As an item of a list: without kind."""
        text = self._texts[plural, stage].replace(_VERSION, f'"resourceVersion":"{version}"')
        return text.replace(_NUMBER, f"{index:016x}").replace(_UID, f"{_UID[:-12]}{index:012x}").encode()

    def labels(self, plural: str, index: int) -> dict[str, str]:
        """What selectors look at."""
        labels = self._labels[plural].items()
        return {key: value.replace(_NUMBER, f"{index:016x}") for key, value in labels}


def whole(plural: str, item: bytes) -> bytes:
    """As an answer to GET or an object of a watch: with its kind."""
    kind, version = KINDS[plural]
    return f'{{"kind":"{kind}","apiVersion":"{version}",'.encode() + item[1:]
