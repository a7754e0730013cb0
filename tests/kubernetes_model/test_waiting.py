"""Why a job waits, from the words of the server, the scheduler, the autoscaler and the kubelet."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_objects import JOB, a_job, a_pod, an_event, condition, disrupted, observe, waiting

from airflow_provider_kinetic.model.status import JobState, Reason

GPU = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
TPU = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "2x4",
}
PREEMPTION = "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."


def unschedulable(message: str, selector: dict[str, str] = GPU) -> dict[str, Any]:
    return a_pod(conditions=[condition("PodScheduled", "Unschedulable", message, "False")], selector=selector)


FORBIDDEN = f'Error creating: pods "{JOB}-" is forbidden: '
PULL_DENIED = (
    'Failed to pull image "any/uri:1": rpc error: code = Unknown desc = failed to pull and unpack image "any/uri:1": '
    "failed to resolve reference: unexpected status from HEAD request: 403 Forbidden"
)
BACK_OFF = waiting("ImagePullBackOff", 'Back-off pulling image "any/uri:1"')

WAITS = {
    "suspended": (a_job(spec={"suspend": True}), [], [], Reason.QUEUED, "suspended"),
    "in a queue": (
        a_job(
            {"conditions": [condition("Suspended", "JobSuspended", "Job suspended")]},
            {"suspend": True},
            labels={"kueue.x-k8s.io/queue-name": "research"},
        ),
        [],
        [],
        Reason.QUEUED,
        "waiting in the queue research",
    ),
    "taken back by its queue": (
        a_job(spec={"suspend": True}, labels={"kueue.x-k8s.io/queue-name": "research"}),
        [],
        [an_event("Stopped", "Preempted to accommodate a workload of higher priority", kind="Normal")],
        Reason.QUEUED,
        "research: Preempted to accommodate",
    ),
    "no pod yet": (a_job(), [], [], Reason.STARTING, "the pod is being created"),
    "no service account": (
        a_job(),
        [],
        [
            an_event(
                "FailedCreate",
                FORBIDDEN + 'error looking up service account team-a/kinetic: serviceaccount "kinetic" not found',
            )
        ],
        Reason.SERVICE_ACCOUNT,
        "no service account 'kinetic'",
    ),
    "quota of the namespace": (
        a_job(),
        [],
        [
            an_event(
                "FailedCreate",
                FORBIDDEN + "exceeded quota: compute, requested: requests.nvidia.com/gpu=1, "
                "used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4",
            )
        ],
        Reason.QUOTA,
        "quota of the namespace is used up: compute, requested: requests.nvidia.com/gpu=1",
    ),
    "webhook": (
        a_job(),
        [],
        [
            an_event(
                "FailedCreate",
                'Error creating: admission webhook "validation.gatekeeper.sh" denied the request: '
                "[costs] you must provide labels: {cost-center}",
            )
        ],
        Reason.ADMISSION,
        "webhook validation.gatekeeper.sh refuses the pod: [costs] you must provide labels",
    ),
    "pod security": (
        a_job(),
        [],
        [an_event("FailedCreate", FORBIDDEN + 'violates PodSecurity "restricted:latest": runAsNonRoot != true')],
        Reason.ADMISSION,
        'violates PodSecurity "restricted:latest"',
    ),
    "refused once and created since": (
        a_job({"active": 1}),
        [],
        [
            an_event("FailedCreate", FORBIDDEN + "exceeded quota: compute", minute=2),
            an_event("SuccessfulCreate", f"Created pod: {JOB}-x7k2p", minute=4, kind="Normal"),
        ],
        Reason.STARTING,
        "the pod is being created",
    ),
    "no node pool": (
        a_job({"active": 1}),
        [unschedulable(f"0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. {PREEMPTION}")],
        [],
        Reason.UNSCHEDULABLE,
        "no node pool offers this accelerator: no node has gke-accelerator=nvidia-l4",
    ),
    "no such topology": (
        a_job({"active": 1}),
        [unschedulable("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", TPU)],
        [],
        Reason.UNSCHEDULABLE,
        "in this topology: no node has gke-tpu-accelerator=tpu-v5-lite-podslice, gke-tpu-topology=2x4",
    ),
    "too few": (
        a_job({"active": 1}),
        [unschedulable("0/2 nodes are available: 1 Insufficient memory, 2 Insufficient nvidia.com/gpu.")],
        [],
        Reason.UNSCHEDULABLE,
        "not enough memory is free; not enough nvidia.com/gpu is free",
    ),
    "taint": (
        a_job({"active": 1}),
        [unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {team: vision}.")],
        [],
        Reason.UNSCHEDULABLE,
        "taint team: vision, which the job does not tolerate",
    ),
    "taints as 1.34 words them": (
        a_job({"active": 1}),
        [unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint(s) {node.kubernetes.io/x: }.", {})],
        [],
        Reason.UNSCHEDULABLE,
        "no machine takes the pod (scheduler: 0/1",
    ),
    "no nodes at all": (
        a_job({"active": 1}),
        [unschedulable("no nodes available to schedule pods")],
        [],
        Reason.UNSCHEDULABLE,
        "the cluster has no nodes",
    ),
    "pool at its maximum": (
        a_job({"active": 1}),
        [unschedulable("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")],
        [an_event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached", "x7k2p")],
        Reason.UNSCHEDULABLE,
        "the node pool is at its maximum size",
    ),
    "autoscaler at work": (
        a_job({"active": 1}),
        [unschedulable("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")],
        [
            an_event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 in backoff after failed scale-up", "x7k2p"),
            an_event("TriggeredScaleUp", "pod triggered scale-up: [{pool-l4 0->1 (max: 4)}]", "x7k2p", 6, "Normal"),
        ],
        Reason.SCALING,
        "adding one: pod triggered scale-up: [{pool-l4 0->1 (max: 4)}]",
    ),
    "quota of the project": (
        a_job({"active": 1}),
        [unschedulable("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")],
        [
            an_event("TriggeredScaleUp", "pod triggered scale-up: [{pool-l4 0->1 (max: 4)}]", "x7k2p", 6, "Normal"),
            an_event("FailedScaleUp", "Node scale up in zones us-central1-a failed: GCE quota exceeded.", "x7k2p", 7),
        ],
        Reason.QUOTA,
        "could not add a machine: Node scale up in zones us-central1-a failed: GCE quota exceeded",
    ),
    "stockout": (
        a_job({"active": 1}),
        [unschedulable("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")],
        [an_event("FailedScaleUp", "Node scale up in zones us-central1-a failed: GCE out of resources.", "x7k2p")],
        Reason.UNSCHEDULABLE,
        "GCE out of resources",
    ),
    "image that is not there": (
        a_job({"active": 1}),
        [a_pod(state=waiting("ErrImagePull", "failed to resolve reference any/uri:1: any/uri:1: not found"))],
        [],
        Reason.IMAGE,
        "the image any/uri:1 cannot be pulled: there is no such image or tag",
    ),
    "image that is not ours to pull": (
        a_job({"active": 1}),
        [a_pod(state=BACK_OFF)],
        [an_event("Failed", PULL_DENIED, "x7k2p"), an_event("BackOff", "Back-off pulling image", "x7k2p", 6)],
        Reason.IMAGE,
        "the image any/uri:1 cannot be pulled: access to it is denied",
    ),
    "image, and the server tells no cause": (
        a_job({"active": 1}),
        [a_pod(state=BACK_OFF)],
        [],
        Reason.IMAGE,
        "the image any/uri:1 cannot be pulled: ImagePullBackOff",
    ),
    "image of a sidecar": (
        a_job({"active": 1}),
        [a_pod(initContainerStatuses=[{"name": "init", "state": waiting("InvalidImageName", "invalid reference")}])],
        [],
        Reason.IMAGE,
        "its name is not valid",
    ),
    "own Secret": (
        a_job({"active": 1}),
        [a_pod(state=waiting("CreateContainerConfigError", f'secret "{JOB}-env" not found'))],
        [],
        Reason.STARTING,
        "waiting for the job's Secret",
    ),
    "Secret of the namespace": (
        a_job({"active": 1}),
        [a_pod(state=waiting("CreateContainerConfigError", 'secret "hub" not found'))],
        [],
        Reason.CONTAINER,
        'CreateContainerConfigError: secret "hub" not found',
    ),
    "being pulled": (
        a_job({"active": 1}),
        [a_pod(state=waiting("ContainerCreating"))],
        [an_event("Pulling", 'Pulling image "any/uri:1"', "x7k2p", kind="Normal")],
        Reason.STARTING,
        'on gke-pool-1: Pulling image "any/uri:1"',
    ),
    "volume": (
        a_job({"active": 1}),
        [a_pod(state=waiting("ContainerCreating"))],
        [an_event("FailedMount", 'MountVolume.SetUp failed for volume "data"', "x7k2p")],
        Reason.STARTING,
        "MountVolume.SetUp failed",
    ),
    "restarting": (
        a_job({"active": 1}),
        [disrupted(), a_pod(suffix="bbbbb", minute=10)],
        [],
        Reason.RESTARTING,
        "(preempted 1 of 10×; last: the machine gke-pool-1 was taken away (DeletionByTaintManager))",
    ),
    "restarting after an eviction": (
        a_job({"active": 1}),
        [disrupted("TerminationByKubelet", message="The node was low on resource: disk.", why="Evicted")],
        [],
        Reason.RESTARTING,
        "last: evicted from gke-pool-1: The node was low on resource: disk.",
    ),
    "no machine for the restart": (
        a_job({"active": 1}),
        [disrupted(), {**unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")}],
        [],
        Reason.UNSCHEDULABLE,
        "preempted 1 of 10×",
    ),
}


@pytest.mark.parametrize(("job", "pods", "events", "reason", "message"), WAITS.values(), ids=WAITS)
def test_why_a_job_waits(job: Any, pods: Any, events: Any, reason: Reason, message: str) -> None:
    found = observe(job, pods, events)
    assert found.state is JobState.PENDING
    assert found.reason is reason
    assert message in found.message


def test_events_of_other_jobs_explain_nothing() -> None:
    stranger = an_event("FailedCreate", FORBIDDEN + "exceeded quota: compute")
    stranger["involvedObject"]["name"] = "kinetic-job-0123abcdef"
    assert observe(a_job(), [], [stranger]).reason is Reason.STARTING
