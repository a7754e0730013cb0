"""A Job and its pods, and the state that they mean: contract 8.2, with success proved and preemptions counted."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_objects import (
    JOB,
    NOW,
    a_job,
    a_pod,
    an_event,
    at,
    condition,
    disrupted,
    failed,
    observe,
    running,
    terminated,
    unix,
)

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

# The rows of contract 8.2, and success with its proof.


@pytest.mark.parametrize(
    ("job", "pods", "state"),
    [
        (None, [], JobState.NOT_FOUND),
        (None, [a_pod("Running", running())], JobState.NOT_FOUND),
        (a_job({"succeeded": 1, "conditions": [condition("Complete")]}), [], JobState.SUCCEEDED),
        (a_job({"succeeded": 1, "conditions": [condition("SuccessCriteriaMet")]}), [], JobState.RUNNING),
        (a_job({"succeeded": 1, "conditions": [condition("Complete", status="False")]}), [], JobState.RUNNING),
        (a_job({"failed": 1}), [], JobState.FAILED),
        (failed(), [a_pod("Running", running())], JobState.FAILED),
        (a_job({"active": 1}), [a_pod("Running", running())], JobState.RUNNING),
        (a_job({"active": 1}), [a_pod("Pending"), a_pod("Running", running(), suffix="b")], JobState.RUNNING),
        (a_job(), [], JobState.PENDING),
        (a_job({"active": 1}), [a_pod("Pending")], JobState.PENDING),
        (a_job({"active": 1}), [a_pod("Unknown")], JobState.PENDING),
    ],
)
def test_states_are_upstreams(job: Any, pods: list[Any], state: JobState) -> None:
    assert observe(job, pods).state is state


@pytest.mark.parametrize(
    ("job", "pods", "state"),
    [
        (a_job({"active": 1}), [a_pod("Succeeded", terminated(0))], JobState.RUNNING),
        (a_job({"active": 1}), [a_pod("Failed", terminated(1))], JobState.RUNNING),
        (a_job({"active": 1}), [disrupted(minute=1), a_pod("Failed", terminated(1), minute=14)], JobState.RUNNING),
        (a_job({"active": 1}), [disrupted(minute=1)], JobState.PENDING),
        (
            a_job({"active": 1}),
            [a_pod("Succeeded", terminated(0), minute=1), a_pod("Pending", minute=14)],
            JobState.PENDING,
        ),
        (a_job(spec={"suspend": True}), [a_pod("Failed", terminated(143))], JobState.PENDING),
    ],
)
def test_a_job_runs_until_the_end_of_its_last_pod_is_counted(job: Any, pods: list[Any], state: JobState) -> None:
    """Where upstream reads PENDING for a moment between RUNNING and the end."""
    assert observe(job, pods).state is state


def test_nothing_is_said_of_the_moment_between_the_end_and_its_count() -> None:
    before, after = a_pod("Running", running()), a_pod("Failed", terminated(1))
    assert observe(a_job(), [before]).message == observe(a_job(), [after]).message == ""


def test_a_success_whole() -> None:
    result = {"result.pkl": {"sha256": "ab", "size": 3}}
    said = protocol.encode_termination(outcome="success", phase="user", attempt=1, objects=result).decode()
    job = a_job({"succeeded": 1, "completionTime": at(9), "conditions": [condition("Complete")]})
    assert observe(job, [a_pod("Succeeded", terminated(0, "Completed", said))]) == JobStatus(
        JobState.SUCCEEDED,
        exit_code=0,
        attempts=1,
        created_at=unix(0),
        started_at=unix(3),
        finished_at=unix(9),
        server_time=NOW,
        objects=result,
    )


@pytest.mark.parametrize("suffix", ["aaaaa", "zzzzz"])
def test_a_result_is_that_of_the_pod_that_succeeded_also_within_one_second(suffix: str) -> None:
    """Whichever of the two has the greater name."""
    result = {"result.pkl": {"sha256": "ab", "size": 3}}
    said = protocol.encode_termination(outcome="success", phase="user", attempt=2, objects=result).decode()
    job = a_job({"succeeded": 1, "completionTime": at(9), "conditions": [condition("Complete")]})
    status = observe(
        job, [disrupted(suffix=suffix), a_pod("Succeeded", terminated(0, "Completed", said), suffix="mmmmm")]
    )
    assert (status.objects, status.exit_code, status.preemptions) == (result, 0, 1)


@pytest.mark.parametrize("message", ["", "Traceback…", '{"v": 99, "objects": {}}', '{"v": 1, "objects": [1]}', "[1]"])
def test_a_termination_message_that_is_not_ours_reports_nothing(message: str) -> None:
    job = a_job({"succeeded": 1, "conditions": [condition("Complete")]})
    assert observe(job, [a_pod("Succeeded", terminated(0, message=message))]).objects == {}


def test_times_are_the_servers_and_the_first_start_counts() -> None:
    pods = [disrupted(minute=1), a_pod("Running", running(15), suffix="bbbbb", minute=14)]
    found = observe(a_job({"active": 1}), pods)
    assert (found.created_at, found.started_at, found.server_time) == (unix(0), unix(2), NOW)
    assert found.finished_at is None


def test_a_first_start_is_known_of_a_pod_that_is_gone() -> None:
    started = an_event("Started", "Started container kinetic-worker", "aaaaa", minute=2, kind="Normal")
    found = observe(a_job({"active": 1}), [a_pod("Running", running(15), minute=14)], [started])
    assert found.started_at == unix(2)


def test_deletion_shows_while_the_machine_ends() -> None:
    found = observe(a_job({"active": 1}, deletionTimestamp=at(9)), [a_pod("Running", running())])
    assert (found.state, found.stopping) == (JobState.RUNNING, True)
    ended = a_job({"succeeded": 1, "conditions": [condition("Complete")]}, deletionTimestamp=at(9))
    assert observe(ended).stopping is False


def test_a_job_that_is_gone_says_so_and_leaves_the_cause_to_the_caller() -> None:
    found = observe(None)
    assert found.reason is Reason.NONE
    assert "deleted" in found.message


def test_attempts_and_preemptions_are_counted_from_pods() -> None:
    pods = [disrupted(suffix="aaaaa", minute=1), disrupted(suffix="bbbbb", minute=10)]
    found = observe(a_job({"active": 1}), [*pods, a_pod("Running", running(18), suffix="ccccc", minute=17)])
    assert (found.state, found.attempts, found.preemptions) == (JobState.RUNNING, 3, 2)
    assert found.message.startswith("preempted 2 of 10×; last: the machine gke-pool-1 was taken away")


def test_pods_that_went_with_their_node_are_counted_from_events() -> None:
    made = [
        an_event("SuccessfulCreate", f"Created pod: {JOB}-{suffix}", minute=minute, kind="Normal")
        for suffix, minute in (("aaaaa", 1), ("bbbbb", 10), ("ccccc", 17))
    ]
    found = observe(a_job({"active": 1}), [a_pod("Running", running(18), suffix="ccccc", minute=17)], made)
    assert (found.attempts, found.preemptions) == (3, 2)


def test_a_pod_that_was_made_between_two_readings_is_not_taken_for_lost() -> None:
    made = an_event("SuccessfulCreate", f"Created pod: {JOB}-ccccc", minute=17, kind="Normal")
    assert observe(a_job({"active": 1}), [], [made]).preemptions == 0
    assert observe(a_job({"active": 1}), [disrupted(minute=1)], [made]).preemptions == 1


def test_a_preemption_shows_while_the_pod_still_runs() -> None:
    pod = a_pod("Running", running(), conditions=[condition("DisruptionTarget", "PreemptionByScheduler")])
    found = observe(a_job({"active": 1}), [pod])
    assert found.state is JobState.RUNNING
    assert found.message.startswith("being preempted (PreemptionByScheduler)")
