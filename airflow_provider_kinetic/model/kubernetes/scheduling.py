"""Why a pod has no machine, from the words of the scheduler and of the cluster autoscaler.

Both write prose, so phrases are looked for and the prose is always shown behind the finding: a release
that words it differently makes the message plainer, not wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_provider_kinetic.model.kubernetes.events import Events
from airflow_provider_kinetic.model.kubernetes.objects import section
from airflow_provider_kinetic.model.kubernetes.pods import Pod
from airflow_provider_kinetic.model.status import Reason

_SCALED = "TriggeredScaleUp"
_NOT_SCALED = "NotTriggerScaleUp"
_FAILED = "FailedScaleUp"

_INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")
_TAINT = re.compile(r"untolerated taint\(?s?\)? \{([^}]*)\}")
_SELECTOR = re.compile(r"didn't match Pod's node affinity/selector|didn't match node selector")
_TOPOLOGY = "cloud.google.com/gke-tpu-topology"
_PREFIX = "cloud.google.com/"


def why_unscheduled(pod: Pod, events: Events) -> tuple[Reason, str]:
    """A reason and one line; ``pod`` is one that the scheduler has no node for."""
    said = events.newest("Pod", pod.name, _SCALED, _NOT_SCALED, _FAILED)
    if said and said.reason == _SCALED:
        return Reason.SCALING, f"no machine is free; the cluster autoscaler is adding one: {said.message}"
    if said and said.reason == _FAILED:
        reason = Reason.QUOTA if "quota" in said.message.lower() else Reason.UNSCHEDULABLE
        return reason, f"the cluster autoscaler could not add a machine: {said.message}"
    scaler = said.message if said else ""
    findings = _findings(pod.unscheduled, section(pod.raw, "spec", "nodeSelector"), scaler)
    cause = "; ".join(findings) or "no machine takes the pod"
    quoted = f"{cause} (scheduler: {pod.unscheduled}"
    return Reason.UNSCHEDULABLE, quoted + (f"; autoscaler: {scaler})" if scaler else ")")


def _findings(scheduler: str, selector: Mapping[str, object], scaler: str) -> list[str]:
    findings = [f"not enough {resource} is free" for resource in dict.fromkeys(_INSUFFICIENT.findall(scheduler))]
    if _SELECTOR.search(scheduler) and not findings:
        findings.append(_no_pool(selector))
    findings += [f"machines have the taint {taint}, which the job does not tolerate" for taint in _taints(scheduler)]
    if "max node group size reached" in scaler or "max cluster" in scaler:
        findings.append("the node pool is at its maximum size")
    if "no nodes available" in scheduler:
        findings.append("the cluster has no nodes")
    return findings


def _taints(scheduler: str) -> list[str]:
    """Without those that Kubernetes itself sets on nodes that are not ready."""
    found = dict.fromkeys(taint.strip().removesuffix(":").strip() for taint in _TAINT.findall(scheduler))
    return [taint for taint in found if not taint.startswith("node.kubernetes.io/")]


def _no_pool(selector: Mapping[str, object]) -> str:
    if not selector:
        return "no node matches the affinity of the pod"
    wanted = ", ".join(f"{key.removeprefix(_PREFIX)}={value}" for key, value in selector.items())
    topology = " in this topology" if _TOPOLOGY in selector else ""
    return f"no node pool offers this accelerator{topology}: no node has {wanted}"
