"""Why a job failed: by its pod, or by the Job's condition where the pod is gone."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_objects import JOB, a_job, a_pod, condition, disrupted, failed, observe, terminated, unix

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.status import JobState, Reason

SPENT = protocol.encode_termination(
    outcome="budget_spent", phase="startup", attempt=4, objects={}, reason="The job was preempted 11 times"
).decode()
STALLED = protocol.encode_termination(
    outcome="stalled", phase="execute", attempt=2, objects={}, reason="no step for 60 s"
).decode()
STOPPED = protocol.encode_termination(
    outcome="preempted", phase="execute", attempt=1, objects={}, reason="stopped on request (SIGTERM)"
).decode()
FAILURES = {
    "user's code": ([a_pod("Failed", terminated(1))], Reason.USER_CODE, "exited with code 1", 1),
    "memory limit": (
        [a_pod("Failed", terminated(137, "OOMKilled"), limits={"memory": "16Gi"})],
        Reason.OUT_OF_MEMORY,
        "killed at its limit of 16Gi",
        137,
    ),
    "memory of the machine": (
        [a_pod("Failed", terminated(137, "OOMKilled"))],
        Reason.OUT_OF_MEMORY,
        "out of memory on the machine gke-pool-1: no memory limit was set",
        137,
    ),
    "signal": ([a_pod("Failed", terminated(139))], Reason.KILLED, "signal 11", 139),
    "budget": (
        [a_pod("Failed", terminated(117, message=SPENT))],
        Reason.PREEMPTION_BUDGET,
        "The job was preempted 11 times",
        117,
    ),
    "budget, while the machine was taken": (
        [a_pod("Failed", terminated(117), conditions=[condition("DisruptionTarget", "DeletionByTaintManager")])],
        Reason.PREEMPTION_BUDGET,
        "preempted too often",
        117,
    ),
    "stall": ([a_pod("Failed", terminated(118, message=STALLED))], Reason.STALLED, "no step for 60 s", 118),
    "stall, while the machine was taken": (
        [a_pod("Failed", terminated(118), conditions=[condition("DisruptionTarget", "DeletionByTaintManager")])],
        Reason.STALLED,
        "no progress for too long",
        118,
    ),
    "ended by others, with a word of the runner": (
        [a_pod("Failed", terminated(143, message=STOPPED))],
        Reason.PREEMPTED,
        "stopped on request",
        143,
    ),
    "ended by others, without one": ([a_pod("Failed", terminated(143))], Reason.KILLED, "signal 15", 143),
    "eviction": (
        [a_pod("Failed", terminated(137), reason="Evicted", message="The node was low on resource: memory.")],
        Reason.EVICTED,
        "evicted from gke-pool-1: The node was low on resource: memory.",
        137,
    ),
    "preemption of a job of upstream's": (
        [disrupted("DeletionByTaintManager")],
        Reason.PREEMPTED,
        "the machine gke-pool-1 was taken away (DeletionByTaintManager)",
        143,
    ),
    "image without Python": (
        [a_pod("Failed", terminated(128, "StartError", 'exec: "python3": executable file not found in $PATH'))],
        Reason.IMAGE,
        'the image any/uri:1 cannot run the job: exec: "python3"',
        128,
    ),
    "refused by the node": (
        [a_pod("Failed", reason="UnexpectedAdmissionError", message="Allocate failed: no healthy devices present")],
        Reason.KILLED,
        "before its container reported an end: Allocate failed",
        None,
    ),
    "pod gone": ([], Reason.VANISHED, "its pod is gone: Job has reached the specified backoff limit", None),
}


@pytest.mark.parametrize(("pods", "reason", "message", "code"), FAILURES.values(), ids=FAILURES)
def test_why_a_job_failed(pods: Any, reason: Reason, message: str, code: int | None) -> None:
    found = observe(failed(), pods)
    assert (found.state, found.reason, found.exit_code) == (JobState.FAILED, reason, code)
    assert message in found.message
    assert found.finished_at == unix(20)


def test_the_newest_pod_tells_why() -> None:
    found = observe(failed(), [disrupted(minute=1), a_pod("Failed", terminated(1), suffix="bbbbb", minute=9)])
    assert (found.reason, found.exit_code, found.preemptions) == (Reason.USER_CODE, 1, 1)


def test_the_deadline_of_the_job() -> None:
    verdict = condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    found = observe(a_job({"conditions": [verdict]}, {"activeDeadlineSeconds": 3600}))
    assert (found.state, found.reason) == (JobState.FAILED, Reason.DEADLINE)
    assert "deadline of 3600 s" in found.message


@pytest.mark.parametrize(("code", "reason"), [(117, Reason.PREEMPTION_BUDGET), (118, Reason.STALLED)])
def test_what_is_final_is_known_without_the_pod(code: int, reason: Reason) -> None:
    message = f"Container kinetic-worker for pod default/{JOB}-x failed with exit code {code} matching FailJob rule"
    assert observe(failed("PodFailurePolicy", message)).reason is reason
