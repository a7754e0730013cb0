"""What ``contract`` says of upstream after release 0.0.4 (``contract`` 15, NEW), as tables.

There is no published client to run it against: these are readings of the contract, not exchanges.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.clusters.local import LocalCluster
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle.collect import collect
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import InfrastructureError, ResultUnreadable, UserCodeError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason
from airflow_provider_kinetic.stores.local import LocalStore

HANDLE = {
    "job_id": "job-0a1b2c3d",
    "backend": "gke",
    "project": "acme",
    "cluster_name": "kinetic-cluster",
    "zone": "us-central1-a",
    "namespace": "default",
    "bucket_name": "acme-kn-kinetic-cluster-jobs",
    "k8s_name": "kinetic-job-0a1b2c3d",
    "image_uri": "",
    "accelerator": "cpu",
    "func_name": "train",
    "display_name": "kinetic-train-job-0a1b2c3d",
    "created_at": "2026-09-01T08:00:00Z",
    "debug": False,
}
FAILED = JobStatus(JobState.FAILED, Reason.USER_CODE, exit_code=1)
SUCCEEDED = JobStatus(JobState.SUCCEEDED, exit_code=0)

Collect = Callable[[dict[str, Any], JobStatus], Any]


@pytest.fixture
def collected(tmp_path: Path) -> Collect:
    """Collect a job of upstream's with this result payload."""

    def collected(payload: dict[str, Any], status: JobStatus) -> Any:
        handle = JobHandle.from_dict({**HANDLE, "store_root": path_to_uri(tmp_path)})
        (tmp_path / handle.job_id).mkdir()
        (tmp_path / handle.job_id / "result.pkl").write_bytes(pickle.dumps(payload))
        unused: Any = None
        return collect(Ports(LocalCluster(tmp_path / "cluster"), LocalStore(), unused), handle, status)

    return collected


def payload(**differs: Any) -> dict[str, Any]:
    """One of ``contract`` 5.5."""
    usual = {"success": False, "result": None, "exception": None, "traceback": None, "host_index": 0}
    return {**usual, "phase": "execute", **differs}


def test_a_value(collected: Collect) -> None:
    assert collected(payload(success=True, result={"loss": 0.1}), SUCCEEDED) == {"loss": 0.1}


def test_a_value_of_a_job_whose_object_has_expired(collected: Collect) -> None:
    assert collected(payload(success=True, result=3), JobStatus(JobState.NOT_FOUND)) == 3


FAILURES = {
    "the function raised": (
        payload(exception=ValueError("empty"), traceback="Traceback: in train"),
        UserCodeError,
        "ValueError: empty",
    ),
    "a value that cannot travel": (
        payload(
            exception=RuntimeError("cannot pickle a lock"),
            phase="result serialization",
            serialization_failed=True,
            result_repr="<a lock>",
        ),
        ResultUnreadable,
        "<a lock>",
    ),
    "an exception that cannot travel": (
        payload(
            exception=RuntimeError("Odd: cannot be pickled"),
            traceback="Traceback: in train",
            phase="result serialization",
            serialization_failed=True,
            result_repr="Odd()",
        ),
        UserCodeError,
        "Odd",
    ),
    "the set-up failed": (
        payload(exception=RuntimeError("no module named keras"), traceback="Traceback", phase="payload unpickle"),
        InfrastructureError,
        "payload unpickle",
    ),
    "without keys that are optional": (
        {"success": False, "result": None, "exception": KeyError("lr"), "traceback": "Traceback: in train"},
        UserCodeError,
        "KeyError",
    ),
}


@pytest.mark.parametrize(("content", "kind", "words"), FAILURES.values(), ids=FAILURES)
def test_failures(collected: Collect, content: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        collected(content, FAILED)


def test_a_value_of_a_job_that_failed_is_none(collected: Collect) -> None:
    """Release 0.0.4 returns it; later ones see that another host has failed (``contract`` 9.1, step 6)."""
    with pytest.raises(InfrastructureError):
        collected(payload(success=True, result=3), JobStatus(JobState.FAILED, Reason.KILLED, exit_code=137))


def test_keys_of_a_later_handle_do_not_matter() -> None:
    handle = JobHandle.from_dict({**HANDLE, "group_id": "grp-1", "group_index": 2, "something": ["new"]})
    assert (handle.group_index, handle.ours) == (2, False)
    assert handle.to_dict().items() >= HANDLE.items()
