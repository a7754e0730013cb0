"""Why a Job failed: its pod knows more than its condition, and the condition more than a missing pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.objects import condition, moment, text, whole
from airflow_provider_kinetic.model.kubernetes.pods import Pod
from airflow_provider_kinetic.model.status import Reason

_SIGNALLED = 128
_FINAL = {
    protocol.EXIT_BUDGET_SPENT: (Reason.PREEMPTION_BUDGET, "preempted too often"),
    protocol.EXIT_STALLED: (Reason.STALLED, "no progress for too long"),
}
_UNSTARTED = ("StartError", "ContainerCannotRun")


def why_failed(job: Mapping[str, Any], pods: Sequence[Pod]) -> tuple[Reason, str]:
    """A reason and one line for a Job that has failed; pods newest first."""
    verdict = _verdict(job)
    if text(verdict, "reason") == "DeadlineExceeded":
        return Reason.DEADLINE, _deadline(job, verdict)
    last = last_ended(pods)
    if last is not None:
        return of_pod(last)
    for code, (reason, words) in _FINAL.items():
        if f"exit code {code} " in text(verdict, "message"):
            return reason, words
    message = text(verdict, "message") or text(verdict, "reason") or "no reason given"
    return Reason.VANISHED, f"the Job failed and its pod is gone: {message}"


def last_ended(pods: Sequence[Pod]) -> Pod | None:
    """The newest pod that is over, if any."""
    return next((pod for pod in pods if pod.ended or pod.exit_code is not None), None)


def failed_at(job: Mapping[str, Any]) -> float | None:
    return moment(_verdict(job), "lastTransitionTime")


def of_pod(pod: Pod) -> tuple[Reason, str]:
    """Why one pod failed."""
    kind, code = text(pod.terminated, "reason"), pod.exit_code
    if kind == "OOMKilled":
        return Reason.OUT_OF_MEMORY, _out_of_memory(pod)
    if code in _FINAL:
        reason, words = _FINAL[code]
        return reason, text(pod.said, "reason") or words
    if text(pod.raw, "status", "reason") == "Evicted":
        return Reason.EVICTED, _evicted(pod)
    if pod.disruption:
        return Reason.PREEMPTED, f"the machine {pod.node} was taken away ({pod.disruption})".replace("  ", " ")
    if kind in _UNSTARTED:
        why = " ".join(text(pod.terminated, "message").split())
        return Reason.IMAGE, f"the image {text(pod.container, 'image')} cannot run the job: {why}"
    return _by_code(pod, code)


def _by_code(pod: Pod, code: int | None) -> tuple[Reason, str]:
    if code is None:
        why = text(pod.raw, "status", "message") or text(pod.raw, "status", "reason") or "no container status"
        return Reason.KILLED, f"the pod failed on {pod.node or 'its node'} before its container reported an end: {why}"
    if code == protocol.EXIT_PREEMPTED and text(pod.said, "outcome") == "preempted":
        return Reason.PREEMPTED, text(pod.said, "reason")
    if code > _SIGNALLED:
        return Reason.KILLED, f"the process was killed by signal {code - _SIGNALLED} (exit code {code})"
    return Reason.USER_CODE, f"the process exited with code {code}"


def _out_of_memory(pod: Pod) -> str:
    limit = text(pod.container, "resources", "limits", "memory")
    request = text(pod.container, "resources", "requests", "memory")
    if limit:
        return f"out of memory: it was killed at its limit of {limit}"
    asked = f", requested were {request}" if request else ""
    return f"out of memory on the machine {pod.node}: no memory limit was set{asked}".replace("  ", " ")


def _evicted(pod: Pod) -> str:
    why = " ".join(text(pod.raw, "status", "message").split())
    return f"evicted from {pod.node or 'its node'}: {why}" if why else f"evicted from {pod.node or 'its node'}"


def _deadline(job: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    seconds = whole(job, "spec", "activeDeadlineSeconds")
    limit = f"of {seconds} s " if seconds else ""
    return f"the Job passed its deadline {limit}({text(verdict, 'message') or 'activeDeadlineSeconds'})"


def _verdict(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return condition(job, "Failed") or condition(job, "FailureTarget") or {}
