"""LeaderWorkerSets that upstream's client makes for several hosts: we make none, and take over those that are there.

All hosts of release 0.0.4 take themselves for the leader (``contract`` P1), and its containers would be
restarted for ever (P3); neither is the matter here.
"""

from __future__ import annotations

import pytest
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from kube.resources import LEADER_WORKER_SETS
from project import until
from upstream import BUCKET, Upstream

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import UserCodeError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("shop")]


def submitted(upstream: Upstream, hook: KineticHook, function: str, *args: object) -> JobHandle:
    """A job on two hosts."""
    handle = hook.attach(upstream.submit(function, *args, accelerator="v5p-8"))
    assert (handle.backend, handle.k8s_name) == ("pathways", f"keras-pathways-{handle.job_id}")
    return handle


def reaches(hook: KineticHook, handle: JobHandle, state: JobState) -> None:
    until(lambda: hook.status(handle).state is state, PATIENCE)


def groups(cloud: Cloud) -> list[str]:
    return [each["metadata"]["name"] for each in cloud.kube.store.list(LEADER_WORKER_SETS, "default")[0]]


def test_from_attach_to_clean_up(upstream: Upstream, cloud: Cloud, shop: CloudShop) -> None:
    hook = KineticHook()
    handle = submitted(upstream, hook, "count", str(shop.folder / "open"))
    reaches(hook, handle, JobState.RUNNING)
    assert handle.job_id in [job.job_id for job in hook.list()]
    until(lambda: "counting" in hook.logs(handle), PATIENCE)
    shop.open_gate()
    reaches(hook, handle, JobState.SUCCEEDED)
    assert hook.result(handle) == {"sum": 3, "of": [1, 2]}
    hook.cleanup(handle, by="test")
    until(lambda: handle.k8s_name not in groups(cloud), PATIENCE)
    assert cloud.objects(BUCKET, f"{handle.job_id}/") == []


def test_cancel(upstream: Upstream, cloud: Cloud, shop: CloudShop) -> None:
    hook = KineticHook()
    handle = submitted(upstream, hook, "count", str(shop.folder / "open"))
    reaches(hook, handle, JobState.RUNNING)
    assert hook.cancel(handle, by="test", wait=40)
    assert handle.k8s_name not in groups(cloud)
    assert upstream.handle(handle.job_id, "status") == "NOT_FOUND"


def test_the_users_exception(upstream: Upstream) -> None:
    hook = KineticHook()
    handle = submitted(upstream, hook, "fail", "no such file")
    reaches(hook, handle, JobState.FAILED)
    with pytest.raises(UserCodeError, match="no such file"):
        hook.result(handle)


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_a_task_that_follows_it(upstream: Upstream, shop: CloudShop, deferrable: bool) -> None:
    handle = submitted(upstream, KineticHook(), "count")
    given = {"task_id": "job", "job_id": handle.job_id, "deferrable": deferrable, "cleanup": "on_success"}
    shop.write(f"with DAG('shop', schedule=None) as dag:\n    KineticRunOperator(**{given!r})\n")
    result = shop.run("job")
    assert (result.state, result.value) == ("success", {"sum": 3, "of": [1, 2]})
