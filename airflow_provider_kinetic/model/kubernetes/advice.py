"""What to do about a job that waits or failed on Kubernetes, with the command to copy.

The handle knows the cluster, its place and the accelerator, so the command is complete but for what only
an administrator decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_provider_kinetic.model.accelerators import Accelerator, parse
from airflow_provider_kinetic.model.errors import AcceleratorError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobStatus, Reason

_ACCOUNT = re.compile("service account '([^']+)'")


def advice_of(handle: JobHandle, status: JobStatus) -> str:
    """One line, or empty where the general advice of ``diagnosis`` says all there is to say."""
    advise = _ADVICE.get(status.reason)
    return advise(handle, status) if advise and handle.platform != "local" else ""


def on_gke(handle: JobHandle) -> bool:
    """Upstream's client knows no other place."""
    return handle.platform in (None, "gke")


def _machine(handle: JobHandle, _status: JobStatus) -> str:
    try:
        accelerator = parse(handle.accelerator)
    except AcceleratorError:
        return ""
    if accelerator.category == "cpu":
        return "Add nodes to the cluster, or lower `requests` of the task."
    pool = "If a node pool offers it, wait, or raise the pool's maximum size and check its taints. "
    if on_gke(handle):
        return f"{pool}If none does: `{_node_pool(handle, accelerator)}`"
    wanted = ",".join(f"{key}={value}" for key, value in accelerator.node_selector.items())
    return f"Check that a node has these labels: `kubectl get nodes -l {wanted}`"


def _node_pool(handle: JobHandle, accelerator: Accelerator) -> str:
    words = [
        f"gcloud container node-pools create kinetic-{accelerator.canonical}",
        f"--project={handle.project} --location={handle.zone} --cluster={handle.cluster_name}",
        f"--machine-type={accelerator.machine_type} --enable-autoscaling --num-nodes=0 --min-nodes=0 --max-nodes=1",
    ]
    if accelerator.category == "gpu":
        words.append(f"--accelerator=type={accelerator.label},count={accelerator.count},gpu-driver-version=default")
    else:
        words.append(f"--tpu-topology={accelerator.topology}")
    return " ".join([*words, *(["--spot"] if accelerator.spot else [])])


def _scaling(_handle: JobHandle, _status: JobStatus) -> str:
    return "A machine is on its way; raise `startup_timeout` if it takes longer than that."


def _quota(handle: JobHandle, status: JobStatus) -> str:
    if "of the namespace" in status.message:
        look = f"kubectl describe resourcequota --namespace={handle.namespace}"
        return f"See `{look}`; wait for other jobs or have it raised."
    region = handle.zone.rpartition("-")[0] if handle.zone.count("-") > 1 else handle.zone
    return (
        f"See `gcloud compute regions describe {region} --project={handle.project}`; request more quota of this "
        "accelerator, or pass `spot=True`, which has a quota of its own, or another `zone`."
    )


def _account(handle: JobHandle, status: JobStatus) -> str:
    found = _ACCOUNT.search(status.message)
    name = found[1] if found else "kinetic"
    make = f"kubectl create serviceaccount {name} --namespace={handle.namespace}"
    if not on_gke(handle):
        return f"Make it: `{make}`, or set `service_account` in the connection."
    google = f"kn-{handle.cluster_name}-nodes@{handle.project}.iam.gserviceaccount.com"
    annotate = f"kubectl annotate serviceaccount {name} --namespace={handle.namespace}"
    member = f"serviceAccount:{handle.project}.svc.id.goog[{handle.namespace}/{name}]"
    return (
        "Use the namespace `default`, where Kinetic's set-up made it, or make it here: "
        f"`{make} && {annotate} iam.gke.io/gcp-service-account={google} && gcloud iam service-accounts "
        f"add-iam-policy-binding {google} --project={handle.project} --role=roles/iam.workloadIdentityUser "
        f"--member='{member}'`"
    )


def _image(handle: JobHandle, _status: JobStatus) -> str:
    if on_gke(handle):
        return (
            "Check `container_image`. Nodes pull it: their service account needs `roles/artifactregistry.reader` "
            "on its repository."
        )
    return "Check `container_image`. For a private registry, set `imagePullSecrets` with `pod_override`."


_ADVICE: dict[Reason, Callable[[JobHandle, JobStatus], str]] = {
    Reason.UNSCHEDULABLE: _machine,
    Reason.SCALING: _scaling,
    Reason.QUOTA: _quota,
    Reason.SERVICE_ACCOUNT: _account,
    Reason.IMAGE: _image,
}
