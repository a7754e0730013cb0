"""What to do about a job that waits or failed: a line that can be copied."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_kinetic.model import errors
from airflow_provider_kinetic.model.diagnosis import advice, diagnose, timed_out
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

HANDLE = JobHandle(
    job_id="job-0123abcd",
    backend="gke",
    project="p",
    cluster_name="c",
    zone="us-central1-a",
    namespace="team-a",
    bucket_name="p-kn-c-jobs",
    k8s_name="kinetic-job-0123abcd",
    image_uri="any/uri:1",
    accelerator="l4x4",
    func_name="train",
    display_name="train",
    created_at="2026-08-20T12:00:00Z",
    platform="gke",
)
ELSEWHERE = replace(HANDLE, platform="kubernetes")
POOL = (
    "gcloud container node-pools create kinetic-{} --project=p --location=us-central1-a --cluster=c --machine-type={}"
)


def pending(reason: Reason, message: str = "waits") -> JobStatus:
    return JobStatus(JobState.PENDING, reason, message)


@pytest.mark.parametrize(
    ("accelerator", "commands"),
    [
        ("l4x4", [POOL.format("l4x4", "g2-standard-48"), "--accelerator=type=nvidia-l4,count=4"]),
        ("v5e-8:spot", [POOL.format("v5litepod-8", "ct5lp-hightpu-8t"), "--tpu-topology=2x4 --spot`"]),
    ],
)
def test_a_missing_node_pool_can_be_made(accelerator: str, commands: list[str]) -> None:
    text = advice(replace(HANDLE, accelerator=accelerator), pending(Reason.UNSCHEDULABLE))
    assert all(command in text for command in commands)


def test_elsewhere_the_labels_are_named() -> None:
    text = advice(ELSEWHERE, pending(Reason.UNSCHEDULABLE))
    assert "`kubectl get nodes -l cloud.google.com/gke-accelerator=nvidia-l4`" in text


def test_a_cpu_job_needs_no_pool() -> None:
    assert "lower `requests`" in advice(replace(HANDLE, accelerator="cpu"), pending(Reason.UNSCHEDULABLE))


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ("a quota of the namespace is used up: compute", "kubectl describe resourcequota --namespace=team-a"),
        (
            "the cluster autoscaler could not add a machine: GCE quota exceeded",
            "regions describe us-central1 --project=p",
        ),
    ],
)
def test_which_quota(message: str, command: str) -> None:
    assert command in advice(HANDLE, pending(Reason.QUOTA, message))


def test_a_missing_service_account_can_be_made() -> None:
    status = pending(Reason.SERVICE_ACCOUNT, "there is no service account 'trainer' in the namespace")
    make = "kubectl create serviceaccount trainer --namespace=team-a"
    assert f"`{make} && kubectl annotate serviceaccount trainer" in advice(HANDLE, status)
    assert "serviceAccount:p.svc.id.goog[team-a/trainer]" in advice(HANDLE, status)
    assert advice(ELSEWHERE, status) == f"Make it: `{make}`, or set `service_account` in the connection."


@pytest.mark.parametrize("reason", [Reason.NONE, Reason.QUEUED, Reason.STARTING, Reason.RESTARTING])
def test_nothing_needs_doing_about_a_job_that_is_on_its_way(reason: Reason) -> None:
    assert advice(HANDLE, pending(reason)) == ""


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.QUOTA, errors.QuotaExceeded),
        (Reason.UNSCHEDULABLE, errors.JobUnschedulable),
        (Reason.SCALING, errors.JobUnschedulable),
        (Reason.IMAGE, errors.ImageError),
        (Reason.SERVICE_ACCOUNT, errors.ClusterError),
        (Reason.ADMISSION, errors.ClusterError),
        (Reason.CONTAINER, errors.ClusterError),
        (Reason.PREEMPTED, errors.JobPreempted),
        (Reason.EVICTED, errors.JobEvicted),
        (Reason.VANISHED, errors.JobVanished),
    ],
)
def test_every_reason_is_an_error_with_advice(reason: Reason, error: type[errors.KineticError]) -> None:
    found = diagnose(HANDLE, JobStatus(JobState.FAILED, reason, "because of this"))
    assert type(found) is error
    assert "because of this" in found.summary
    assert found.advice


def test_a_passed_startup_timeout_says_what_it_waited_for() -> None:
    status = pending(Reason.IMAGE, "the image any/uri:1 cannot be pulled")
    found = timed_out(HANDLE, "startup_timeout", 600, status=status)
    assert "It waited: the image any/uri:1 cannot be pulled." in found.summary
    assert "artifactregistry.reader" in found.advice


def test_a_passed_run_timeout_does_not() -> None:
    status = JobStatus(JobState.RUNNING, message="preempted 2 of 10×", started_at=1.0)
    assert timed_out(HANDLE, "run_timeout", 600, status=status).args == timed_out(HANDLE, "run_timeout", 600).args
