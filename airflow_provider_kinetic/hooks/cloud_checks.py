"""What the Test of a connection to a cluster tries, in the order in which a first job would meet it.

Somebody waits for the answer, so everything gives up early; what cannot be told without more rights is said, and
is no failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_kinetic.hooks.check import Check, attempt, writable
from airflow_provider_kinetic.model.errors import ClusterError, StoreError

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.kubernetes import KubernetesCluster
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.model.target import Target

PATIENCE = 10.0
"""Seconds for which a request to Cloud Storage that fails for a passing reason is repeated."""

_GPUS, _TPUS = "cloud.google.com/gke-accelerator", "cloud.google.com/gke-tpu-accelerator"
_TPU_MACHINES = ("ct", "tpu")
_ADD_A_POOL = (
    "Jobs for GPUs and TPUs will wait until there is one: add a node pool, or switch node auto-provisioning on."
)


def check_cloud(ports: Ports, target: Target) -> Iterator[Check]:
    """Credentials, bucket, outputs, cluster, service account, accelerators. What cannot be tried is left out."""
    credentials = attempt("credentials", lambda: _credentials(target), "Check `gcp_conn_id` of the connection.")
    yield credentials
    if credentials.ok:
        yield attempt("bucket", lambda: _bucket(target), "Check `bucket` of the connection.")
        if not target.output_root.startswith(f"{target.store_root}/"):
            yield attempt("outputs", lambda: _outputs(target), "Set `output_root` to a bucket that can be written.")
    if target.platform == "gke" and not credentials.ok:
        return
    cluster = attempt("cluster", lambda: ports.cluster.check(), "Check `cluster` and `namespace` of the connection.")
    yield cluster
    if cluster.ok:
        yield attempt("service account", lambda: _service_account(ports, target), "")
        yield _accelerators(ports, target)


def _credentials(target: Target) -> str:
    from airflow_provider_kinetic.hooks.gcs import EMULATOR

    if target.platform != "gke" and os.environ.get(EMULATOR):
        return f"none are needed for {os.environ[EMULATOR]}"
    from airflow_provider_kinetic.hooks.google import GoogleIdentityHook

    principal = GoogleIdentityHook(target.gcp_conn_id).principal
    principal.tokens.get()
    return f"Google gives access tokens to {principal.name}"


def _bucket(target: Target) -> str:
    from airflow_provider_kinetic.hooks.gcs import KineticGCSHook

    hook = KineticGCSHook(target.gcp_conn_id)
    found = writable(hook.store(patience=PATIENCE), target.store_root)
    if not target.project:
        return found
    mine = hook.belongs(target.bucket_name, target.project)
    if mine is None:
        return f"{found}; whether it is one of {target.project} cannot be seen"
    if not mine and target.bucket_name == f"{target.project}-kn-{target.cluster}-jobs":
        raise StoreError(
            f"The bucket {target.bucket_name!r} can be written and is not one of the project {target.project!r}.",
            advice="Somebody else may have taken that name, and would read payloads and write results. Name a `bucket`"
            " of your own in the connection.",
        )
    return found if mine else f"{found}; it is not one of {target.project}"


def _outputs(target: Target) -> str:
    from airflow_provider_kinetic.hooks.gcs import KineticGCSHook

    return writable(KineticGCSHook(target.gcp_conn_id).store(patience=PATIENCE), target.output_root)


def _service_account(ports: Ports, target: Target) -> str:
    """Without it the Job controller makes no pods, and the job is pending for ever (contract P7)."""
    name = target.service_account
    if name is None:
        return "the namespace's default"
    exists = _cluster(ports).service_account_exists(name)
    if exists is None:
        return f"whether {name!r} exists cannot be seen with these rights"
    if exists:
        return f"{name!r} exists in {target.namespace!r}"
    advice = f"Make it: `kubectl create serviceaccount {name} --namespace {target.namespace}`"
    if target.platform == "gke":
        advice += (
            ", and bind it (Workload Identity User, roles/iam.workloadIdentityUser) to a Google service account that"
            " has Storage Object User (roles/storage.objectUser) on the bucket"
        )
    raise ClusterError(
        f"There is no service account {name!r} in the namespace {target.namespace!r}.",
        advice=f"{advice}; or name another `service_account` in the connection.",
    )


def _accelerators(ports: Ports, target: Target) -> Check:
    """None is no failure: pools come and go, and jobs for CPUs need none."""
    look = partial(_pools, target) if target.platform == "gke" else partial(_nodes, ports)
    check = attempt("accelerators", lambda: ", ".join(look()), "")
    return Check(check.name, True, "no node pool has any", _ADD_A_POOL) if check.ok and not check.detail else check


def _pools(target: Target) -> Iterator[str]:
    """Node pools with accelerators, also those that have no nodes now."""
    from airflow_provider_kinetic.hooks.gke import GKECluster, KineticGKEHook

    cluster = GKECluster(target.project, target.zone, target.cluster)
    description = KineticGKEHook(target.gcp_conn_id).describe(cluster)
    for pool in description.get("nodePools") or []:
        config: Mapping[str, Any] = pool.get("config") or {}
        machine = str(config.get("machineType") or "")
        kinds = [str(each.get("acceleratorType")) for each in config.get("accelerators") or []]
        if machine.startswith(_TPU_MACHINES):
            kinds.append(machine)
        for kind in kinds:
            yield f"{kind} in the pool {pool.get('name')}"
    if (description.get("autoscaling") or {}).get("enableNodeAutoprovisioning"):
        yield "others as node auto-provisioning may make them"


def _nodes(ports: Ports) -> Iterator[str]:
    """Machines that are there now."""
    for label, kind in ((_GPUS, "GPUs"), (_TPUS, "TPUs")):
        number = _cluster(ports).nodes({label: ""})
        if number is None:
            yield "nodes cannot be seen with these rights"
            return
        if number:
            yield f"{number} node{'s' if number > 1 else ''} with {kind}"


def _cluster(ports: Ports) -> KubernetesCluster:
    return cast("KubernetesCluster", ports.cluster)
