"""Upstream's client submits, our hook attaches: ``contract`` 14.3 number 16, a mirror of 1 to 12.

The jobs run with upstream's own runner of release 0.0.4.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from kube.resources import JOBS
from project import until
from upstream import BUCKET, IMAGE, Upstream

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.cleanup import Halves
from airflow_provider_kinetic.model.errors import JobNotFound, JobOutOfMemory, UserCodeError
from airflow_provider_kinetic.model.status import JobState, Reason

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("shop")]
Over = Callable[[str], str]


@pytest.fixture
def hook(shop: CloudShop) -> KineticHook:  # noqa: ARG001 (the connection)
    return KineticHook()


class TestAttach:
    def test_the_handle_is_upstreams(self, upstream: Upstream, hook: KineticHook) -> None:
        job_id = upstream.submit("add", 1, 2)
        handle, theirs = hook.attach(job_id), upstream.attach(job_id)
        assert {key: getattr(handle, key) for key in theirs} == theirs
        assert (handle.ours, handle.image_uri, handle.output_dir) == (False, IMAGE, None)

    def test_what_upstream_has_collected_is_not_known_any_more(
        self, upstream: Upstream, hook: KineticHook, over: Over
    ) -> None:
        job_id = over(upstream.submit("add", 1, 2))
        upstream.handle(job_id, "result", cleanup_poll_interval=0.1)
        with pytest.raises(JobNotFound, match=job_id):
            hook.attach(job_id)


class TestStatus:
    def test_over_the_life_of_a_job(self, upstream: Upstream, cloud: Cloud, shop: CloudShop, hook: KineticHook) -> None:
        cloud.kube.unschedulable("0/3 nodes are available: 3 Insufficient cpu.")
        handle = hook.attach(upstream.submit("wait", str(shop.folder / "open")))
        until(lambda: hook.status(handle).reason is Reason.UNSCHEDULABLE)
        assert hook.status(handle).state is JobState.PENDING
        cloud.kube.heal()
        until(lambda: hook.status(handle).state is JobState.RUNNING, PATIENCE)
        shop.open_gate()
        until(lambda: hook.status(handle).state is JobState.SUCCEEDED, PATIENCE)
        hook.cleanup(handle, by="test", halves=Halves(artifacts=False))
        until(lambda: hook.status(handle).state is JobState.NOT_FOUND, PATIENCE)


class TestList:
    def test_the_newest_first(self, upstream: Upstream, hook: KineticHook) -> None:
        first = upstream.submit("add", 1, 2)
        time.sleep(1.1)  # the cluster counts in whole seconds
        last = upstream.submit("add", 3, 4)
        listed = [job.job_id for job in hook.list()]
        assert listed.index(last) < listed.index(first)


class TestLogs:
    def test_all_of_them_and_the_last_lines(self, upstream: Upstream, hook: KineticHook, over: Over) -> None:
        handle = hook.attach(over(upstream.submit("wait", "/")))
        assert hook.logs(handle).splitlines() == [*(f"line {number}" for number in range(8)), "went on"]
        assert hook.logs(handle, tail=3).splitlines() == ["line 6", "line 7", "went on"]


class TestResult:
    def test_as_often_as_asked(self, upstream: Upstream, hook: KineticHook, over: Over) -> None:
        handle = hook.attach(over(upstream.submit("add", 1, 2)))
        assert [hook.result(handle) for _ in range(2)] == [{"sum": 3, "pair": (1, 2)}] * 2

    def test_after_the_job_object_has_expired(
        self, upstream: Upstream, cloud: Cloud, hook: KineticHook, over: Over
    ) -> None:
        handle = hook.attach(over(upstream.submit("add", 1, 2)))
        cloud.kube.registry.delete(JOBS, "default", handle.k8s_name, {"propagationPolicy": "Background"})
        until(lambda: hook.status(handle).state is JobState.NOT_FOUND)
        assert hook.result(handle) == {"sum": 3, "pair": (1, 2)}


class TestFailure:
    def test_the_exception_itself_with_its_remote_traceback(
        self, upstream: Upstream, cloud: Cloud, hook: KineticHook, over: Over
    ) -> None:
        handle = hook.attach(over(upstream.submit("fail", "no such file")))
        with pytest.raises(UserCodeError) as caught:
            hook.result(handle)
        cause = caught.value.__cause__
        assert (type(cause), str(cause)) == (ValueError, "no such file")
        assert "in fail" in caught.value.remote_traceback
        assert cloud.objects(BUCKET, f"{handle.job_id}/")

    def test_a_pod_that_was_killed(self, upstream: Upstream, cloud: Cloud, shop: CloudShop, hook: KineticHook) -> None:
        handle = hook.attach(upstream.submit("wait", str(shop.folder / "open")))
        until(lambda: hook.status(handle).state is JobState.RUNNING, PATIENCE)
        cloud.kube.oom_kill(cloud.kube.pods(handle.k8s_name)[0])
        until(lambda: hook.status(handle).state is JobState.FAILED, PATIENCE)
        assert (hook.status(handle).reason, hook.status(handle).exit_code) == (Reason.OUT_OF_MEMORY, 137)
        with pytest.raises(JobOutOfMemory):
            hook.result(handle)

    @pytest.mark.parametrize(
        ("function", "args", "words"),
        [("odd", (), "frame"), ("leave", (3,), "SystemExit: 3"), ("leave", (0,), "SystemExit: 0")],
        ids=["a value that cannot travel", "an exit with a code", "an exit without one, a failure in this release"],
    )
    def test_what_is_no_exception_arrives_as_one(
        self, upstream: Upstream, hook: KineticHook, over: Over, function: str, args: tuple[int, ...], words: str
    ) -> None:
        handle = hook.attach(over(upstream.submit(function, *args)))
        with pytest.raises(UserCodeError, match=words):
            hook.result(handle)


class TestEnd:
    def test_cancel(self, upstream: Upstream, cloud: Cloud, shop: CloudShop, hook: KineticHook) -> None:
        handle = hook.attach(upstream.submit("wait", str(shop.folder / "open")))
        until(lambda: hook.status(handle).state is JobState.RUNNING, PATIENCE)
        assert hook.cancel(handle, by="test", wait=40)
        assert upstream.handle(handle.job_id, "status") == "NOT_FOUND"
        assert f"{handle.job_id}/payload.pkl" in cloud.objects(BUCKET)

    @pytest.mark.parametrize(
        ("halves", "left"), [(Halves(k8s=False), (True, False)), (Halves(artifacts=False), (False, True))]
    )
    def test_half_a_clean_up(
        self,
        upstream: Upstream,
        cloud: Cloud,
        hook: KineticHook,
        over: Over,
        halves: Halves,
        left: tuple[bool, bool],
    ) -> None:
        handle = hook.attach(over(upstream.submit("add", 1, 2)))
        hook.cleanup(handle, by="test", halves=halves)
        until(lambda: (handle.job_id in [job.job_id for job in hook.list()]) is left[0])
        assert bool(cloud.objects(BUCKET, f"{handle.job_id}/")) is left[1]
