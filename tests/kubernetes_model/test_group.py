"""LeaderWorkerSets of upstream's client: the rows of contract 8.3."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_objects import NOW, a_pod, running, terminated, unix, waiting

from airflow_provider_kinetic.model.kubernetes.group import group_status_of
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

NAME = "keras-pathways-job-0123abcd"
GROUP = {"metadata": {"name": NAME, "creationTimestamp": "2026-08-20T12:00:00Z"}}


def pod(ordinal: str, *args: Any, **fields: Any) -> dict[str, Any]:
    made = a_pod(*args, **fields)
    made["metadata"]["name"] = f"{NAME}-{ordinal}"
    return made


def leader(*args: Any, **fields: Any) -> dict[str, Any]:
    return pod("0", *args, **fields)


def restarted(code: int) -> dict[str, Any]:
    """A leader that ended and whose container the kubelet started again."""
    status = {"name": "kinetic-worker", "state": running(20), "lastState": terminated(code), "restartCount": 1}
    return leader("Running", containerStatuses=[status])


def observe(group: Any, pods: Any) -> JobStatus:
    return group_status_of(group, pods, name=NAME, server_time=NOW)


@pytest.mark.parametrize(
    ("group", "pods", "state"),
    [
        (GROUP, [], JobState.PENDING),
        (GROUP, [pod("0-1", "Running", running())], JobState.PENDING),
        (None, [], JobState.NOT_FOUND),
        (GROUP, [leader("Succeeded")], JobState.SUCCEEDED),
        (GROUP, [leader("Succeeded"), pod("0-1", "Failed", terminated(1))], JobState.FAILED),
        (GROUP, [leader("Failed")], JobState.FAILED),
        (GROUP, [leader("Failed", terminated(0))], JobState.FAILED),
        (GROUP, [leader("Running", terminated(0))], JobState.SUCCEEDED),
        (GROUP, [leader("Running", terminated(0)), pod("0-1", "Failed")], JobState.FAILED),
        (GROUP, [leader("Running", terminated(3))], JobState.FAILED),
        (GROUP, [restarted(0)], JobState.SUCCEEDED),
        (GROUP, [restarted(1)], JobState.FAILED),
        (GROUP, [leader("Running", running())], JobState.RUNNING),
        (GROUP, [leader("Running", running()), pod("0-1", "Failed", terminated(1))], JobState.RUNNING),
        (GROUP, [leader("Pending")], JobState.PENDING),
        (GROUP, [leader("Unknown")], JobState.PENDING),
        (None, [leader("Running", running())], JobState.RUNNING),
    ],
)
def test_states_are_upstreams(group: Any, pods: Any, state: JobState) -> None:
    assert observe(group, pods).state is state


def test_the_first_container_counts() -> None:
    statuses = [{"name": "sidecar", "state": terminated(0)}, {"name": "kinetic-worker", "state": running()}]
    assert observe(GROUP, [leader("Running", containerStatuses=statuses)]).state is JobState.SUCCEEDED


def test_a_failure_says_why_and_on_which_host() -> None:
    lost = pod("0-1", "Failed", terminated(137, "OOMKilled"), limits={"memory": "8Gi"})
    found = observe(GROUP, [leader("Succeeded", terminated(0)), lost])
    assert (found.reason, found.exit_code) == (Reason.OUT_OF_MEMORY, 0)
    assert found.message == f"the worker {NAME}-0-1 failed: out of memory: it was killed at its limit of 8Gi"


def test_a_group_that_waits_says_why() -> None:
    found = observe(GROUP, [leader(state=waiting("ErrImagePull", "any/uri:1: not found"))])
    assert (found.state, found.reason) == (JobState.PENDING, Reason.IMAGE)


def test_times_are_the_servers() -> None:
    found = observe(GROUP, [restarted(1)])
    assert (found.created_at, found.started_at, found.finished_at) == (unix(0), unix(3), unix(8))
    assert found.server_time == NOW


@given(st.dictionaries(st.sampled_from(["metadata", "status"]), st.none() | st.lists(st.none()) | st.text()))
def test_partial_objects_have_a_state(raw: Any) -> None:
    assert observe(raw, [raw, {"metadata": {"name": f"{NAME}-0"}, **raw}]).server_time == NOW
