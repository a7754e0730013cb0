"""Tasks of ours on jobs that upstream's client submitted: run, sensor, collect, clean-up, waiting here or deferred."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tasks
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from project import until
from upstream import BUCKET, Upstream, UpstreamError

from airflow_provider_kinetic.model.errors import ConfigurationError, JobVanished, UserCodeError

pytestmark = [pytest.mark.interop, pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])]
Attached = Callable[..., tasks.TaskResult]
VALUE = {"sum": 3, "of": [1, 2]}


@pytest.fixture
def attached(shop: CloudShop) -> Attached:
    """``attached("KineticRunOperator", job_id)``: one try of a task with this job."""

    def run(operator: str, job_id: str, **options: object) -> tasks.TaskResult:
        given = {"task_id": "job", "job_id": job_id, **options}
        shop.write(f"with DAG('shop', schedule=None) as dag:\n    {operator}(**{given!r})\n")
        return shop.run("job")

    return run


class TestRun:
    def test_follows_the_job_and_pushes_its_value(
        self, upstream: Upstream, attached: Attached, shop: CloudShop, deferrable: bool
    ) -> None:
        job_id = upstream.submit("count", str(shop.folder / "open"))
        with shop.meanwhile(lambda: opened(shop, upstream, job_id)):
            result = attached("KineticRunOperator", job_id, deferrable=deferrable)
        assert (result.state, result.value) == ("success", VALUE)
        assert bool(result.deferrals) is deferrable
        assert upstream.handle(job_id, "result", cleanup=False) == VALUE  # somebody else's job is left as it was

    def test_the_users_exception_fails_the_task(self, upstream: Upstream, attached: Attached, deferrable: bool) -> None:
        result = attached("KineticRunOperator", upstream.submit("fail", "no such file"), deferrable=deferrable)
        assert result.state == "failed"
        assert isinstance(result.error, UserCodeError)
        assert repr(result.error.__cause__) == repr(ValueError("no such file"))
        assert any("in fail" in line for line in result.log)

    def test_cleans_up_when_that_is_asked_for(
        self, upstream: Upstream, attached: Attached, cloud: Cloud, deferrable: bool
    ) -> None:
        job_id = upstream.submit("count")
        result = attached("KineticRunOperator", job_id, deferrable=deferrable, cleanup="on_success")
        assert result.value == VALUE
        assert cloud.objects(BUCKET, f"{job_id}/") == []
        assert job_id not in upstream.list_jobs()

    def test_a_job_that_upstream_cancels_fails_the_task(
        self, upstream: Upstream, attached: Attached, shop: CloudShop, deferrable: bool
    ) -> None:
        job_id = upstream.submit("count", str(shop.folder / "open"))

        def cancelled() -> None:
            until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
            upstream.handle(job_id, "cancel", cleanup_poll_interval=0.1)

        with shop.meanwhile(cancelled):
            result = attached("KineticRunOperator", job_id, deferrable=deferrable)
        assert result.state == "failed"
        assert isinstance(result.error, JobVanished)


class TestSensorCollectAndCleanUp:
    def test_one_after_the_other(
        self, upstream: Upstream, attached: Attached, cloud: Cloud, shop: CloudShop, deferrable: bool
    ) -> None:
        job_id = upstream.submit("count", str(shop.folder / "open"))
        early = attached("KineticCollectOperator", job_id)
        assert isinstance(early.error, ConfigurationError)
        shop.db.rows.clear()
        with shop.meanwhile(lambda: opened(shop, upstream, job_id)):
            waited = attached("KineticJobSensor", job_id, deferrable=deferrable)
        assert waited.value["state"] == "SUCCEEDED"
        shop.db.rows.clear()
        assert attached("KineticCollectOperator", job_id).value == VALUE
        shop.db.rows.clear()
        assert attached("KineticCleanupOperator", job_id).state == "success"
        assert cloud.objects(BUCKET, f"{job_id}/") == []
        with pytest.raises(UpstreamError, match="NotFound"):
            upstream.attach(job_id)


def opened(shop: CloudShop, upstream: Upstream, job_id: str) -> None:
    until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
    shop.open_gate()
