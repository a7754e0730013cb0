"""One job, two owners: what one side takes away while the other still wants it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tasks
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from project import until
from upstream import BUCKET, Upstream, UpstreamError

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import JobVanished, ResultGone

pytestmark = pytest.mark.interop
Submit = Callable[..., str]
Over = Callable[[str], str]
modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])


def running(upstream: Upstream, shop: CloudShop) -> str:
    """The id of our task's job, as soon as it runs."""
    known = {job["metadata"]["name"] for job in shop.jobs}

    def new() -> list[str]:
        return [job["metadata"]["labels"]["job-id"] for job in shop.jobs if job["metadata"]["name"] not in known]

    until(new, PATIENCE)
    job_id = new()[0]
    until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
    return job_id


def function(gate: object) -> str:
    return f"def f():\n    while not Path({str(gate)!r}).exists(): time.sleep(0.02)\n    return 3\n"


@modes
def test_upstream_looks_on_while_our_task_runs(
    upstream: Upstream, cloud: Cloud, shop: CloudShop, deferrable: bool
) -> None:
    task = shop.job(function(shop.folder / "open"), deferrable=deferrable)
    seen: list[str] = []

    def look() -> None:
        seen.append(running(upstream, shop))
        shop.open_gate()

    with shop.meanwhile(look):
        result = tasks.run(task, shop.db)
    assert (result.value, result.xcoms["job_id"]) == (3, seen[0])
    with pytest.raises(UpstreamError, match="NotFound"):
        upstream.attach(seen[0])
    assert cloud.objects(BUCKET, f"{seen[0]}/") == []


@modes
def test_upstream_cancels_the_job_of_our_task(upstream: Upstream, shop: CloudShop, deferrable: bool) -> None:
    task = shop.job(function(shop.folder / "open"), deferrable=deferrable)

    def cancel() -> None:
        upstream.handle(running(upstream, shop), "cancel", cleanup_poll_interval=0.1)

    with shop.meanwhile(cancel):
        result = tasks.run(task, shop.db)
    assert result.state == "failed"
    assert isinstance(result.error, JobVanished)


def test_upstream_collects_our_job_first(upstream: Upstream, shop: CloudShop, submit: Submit, over: Over) -> None:
    """Its clean-up takes the only result along (``contract`` P5): whoever comes second is told so."""
    job_id = over(submit("add", 1, 2))
    handle = shop.handle("submit").to_dict()
    upstream.handle(job_id, "result", cleanup_poll_interval=0.1)
    shop.write(
        "with DAG('shop', schedule=None) as dag:\n"
        f"    KineticCollectOperator(task_id='job', job={handle!r})\n"
        f"    KineticRunOperator(task_id='again', job_id={job_id!r})\n"
    )
    for task_id in ("job", "again"):
        result = shop.run(task_id)
        assert result.state == "failed"
        assert isinstance(result.error, ResultGone)
        assert "somebody deleted it" in str(result.error)


def test_upstream_collects_its_own_job_first(upstream: Upstream, shop: CloudShop, over: Over) -> None:
    job_id = over(upstream.submit("add", 1, 2))
    handle = KineticHook().attach(job_id).to_dict()
    upstream.handle(job_id, "result", cleanup_poll_interval=0.1)
    shop.write(f"with DAG('shop', schedule=None) as dag:\n    KineticCollectOperator(task_id='job', job={handle!r})\n")
    error = shop.run("job").error
    assert isinstance(error, ResultGone)
    assert "already collected" in str(error)
