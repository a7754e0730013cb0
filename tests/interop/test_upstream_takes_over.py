"""We submit, upstream's client attaches: ``contract`` 14.3, direction A, numbers 1 to 12, against the release 0.0.4."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from kube.resources import JOBS
from project import until
from upstream import BUCKET, CLUSTER, PROJECT, ZONE, Upstream, UpstreamError

pytestmark = pytest.mark.interop
Submit = Callable[..., str]
Over = Callable[[str], str]

MANDATORY = {
    *("job_id", "backend", "project", "cluster_name", "zone", "namespace", "bucket_name", "k8s_name"),
    *("image_uri", "accelerator", "func_name", "display_name", "created_at"),
}


def gone(upstream: Upstream, job_id: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        upstream.attach(job_id)
    assert caught.value.kind == "google.api_core.exceptions.NotFound"


class TestAttach:
    def test_the_handle_is_equal_in_all_mandatory_keys(
        self, upstream: Upstream, shop: CloudShop, submit: Submit
    ) -> None:
        job_id = submit("add", 1, 2)
        theirs, ours = upstream.attach(job_id), shop.handle("submit").to_dict()
        assert {key: theirs[key] for key in MANDATORY} == {key: ours[key] for key in MANDATORY}
        assert (theirs["backend"], theirs["k8s_name"]) == ("gke", f"kinetic-{job_id}")
        assert (theirs["project"], theirs["zone"], theirs["cluster_name"]) == (PROJECT, ZONE, CLUSTER)

    def test_an_unknown_id(self, upstream: Upstream) -> None:
        gone(upstream, "job-00000000")


class TestStatus:
    def test_over_the_life_of_a_job(self, upstream: Upstream, cloud: Cloud, shop: CloudShop, submit: Submit) -> None:
        cloud.kube.unschedulable("0/3 nodes are available: 3 Insufficient cpu.")
        job_id = submit("wait", str(shop.folder / "open"))
        assert upstream.handle(job_id, "status") == "PENDING"
        cloud.kube.heal()
        until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
        shop.open_gate()
        until(lambda: upstream.handle(job_id, "status") == "SUCCEEDED", PATIENCE)
        upstream.handle(job_id, "cleanup", gcs=False, cleanup_poll_interval=0.1)
        assert upstream.handle(job_id, "status") == "NOT_FOUND"

    def test_a_function_that_raises(self, upstream: Upstream, submit: Submit, over: Over) -> None:
        assert upstream.handle(over(submit("fail", "no")), "status") == "FAILED"


class TestList:
    def test_newest_first_and_without_what_has_no_handle(
        self, upstream: Upstream, shop: CloudShop, submit: Submit
    ) -> None:
        first, broken = submit("add", 1, 2), submit("add", 3, 4)
        time.sleep(1.1)  # handles carry whole seconds
        last = submit("add", 5, 6)
        shop.ports.store.write(f"gs://{BUCKET}/{broken}/handle.json", b"{}")
        listed = upstream.list_jobs()
        assert listed.index(last) < listed.index(first)
        assert broken not in listed


class TestLogs:
    def test_all_of_them_and_the_last_lines(self, upstream: Upstream, submit: Submit, over: Over) -> None:
        job_id = over(submit("wait", "/"))
        text = upstream.handle(job_id, "logs")
        assert [f"line {number}" in text for number in range(8)] == [True] * 8
        assert upstream.handle(job_id, "tail", n=3).splitlines() == ["line 6", "line 7", "went on"]

    def test_followed_to_the_end(self, upstream: Upstream, shop: CloudShop, submit: Submit) -> None:
        job_id = submit("wait", str(shop.folder / "open"))
        until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
        with shop.meanwhile(lambda: upstream.handle(job_id, "logs", follow=True)):
            shop.open_gate()
        assert "went on" in upstream.printed


class TestResult:
    def test_as_often_as_asked(self, upstream: Upstream, submit: Submit, over: Over) -> None:
        job_id = over(submit("add", 1, 2))
        values = [upstream.handle(job_id, "result", cleanup=False) for _ in range(2)]
        assert values == [{"sum": 3, "pair": (1, 2)}] * 2

    def test_once_with_its_clean_up(self, upstream: Upstream, cloud: Cloud, submit: Submit, over: Over) -> None:
        job_id = over(submit("add", 1, 2))
        assert upstream.handle(job_id, "result", cleanup_poll_interval=0.1) == {"sum": 3, "pair": (1, 2)}
        assert job_id not in upstream.list_jobs()
        assert cloud.objects(BUCKET, f"{job_id}/") == []
        gone(upstream, job_id)

    def test_after_the_job_object_has_expired(
        self, upstream: Upstream, cloud: Cloud, submit: Submit, over: Over
    ) -> None:
        job_id = over(submit("add", 1, 2))
        cloud.kube.registry.delete(JOBS, "default", f"kinetic-{job_id}", {"propagationPolicy": "Background"})
        until(lambda: upstream.handle(job_id, "status") == "NOT_FOUND")
        assert upstream.handle(job_id, "result") == {"sum": 3, "pair": (1, 2)}


class TestFailure:
    def test_the_exception_itself_with_its_remote_traceback(
        self, upstream: Upstream, cloud: Cloud, submit: Submit, over: Over
    ) -> None:
        job_id = over(submit("fail", "no such file"))
        with pytest.raises(UpstreamError) as caught:
            upstream.handle(job_id, "result", cleanup_poll_interval=0.1)
        assert (caught.value.kind, caught.value.text) == ("builtins.ValueError", "no such file")
        assert "in fail" in caught.value.notes[0]
        assert cloud.objects(BUCKET, f"{job_id}/") == []  # as this release does; later ones keep it (contract 15)

    def test_a_pod_that_was_killed(self, upstream: Upstream, cloud: Cloud, shop: CloudShop, submit: Submit) -> None:
        job_id = submit("wait", str(shop.folder / "open"))
        until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
        cloud.kube.oom_kill(cloud.kube.pods(f"kinetic-{job_id}")[0])
        until(lambda: upstream.handle(job_id, "status") == "FAILED", PATIENCE)
        with pytest.raises(UpstreamError, match="failed but no result payload") as caught:
            upstream.handle(job_id, "result", timeout=1.5, cleanup=False)
        assert caught.value.kind == "builtins.RuntimeError"

    @pytest.mark.parametrize(
        ("function", "args", "words"),
        [("odd", (), "frame"), ("leave", (3,), r"sys.exit\(3\)")],
        ids=["a value that cannot travel", "an exit with a code"],
    )
    def test_what_is_no_exception_arrives_as_one(
        self, upstream: Upstream, submit: Submit, over: Over, function: str, args: tuple[int, ...], words: str
    ) -> None:
        job_id = over(submit(function, *args))
        with pytest.raises(UpstreamError, match=words) as caught:
            upstream.handle(job_id, "result", cleanup=False)
        assert caught.value.kind == "builtins.RuntimeError"

    def test_an_exit_without_a_code_is_success(self, upstream: Upstream, submit: Submit, over: Over) -> None:
        assert upstream.handle(over(submit("leave", 0)), "result", cleanup=False) is None


class TestEnd:
    def test_cancel(self, upstream: Upstream, cloud: Cloud, shop: CloudShop, submit: Submit) -> None:
        job_id = submit("wait", str(shop.folder / "open"))
        until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
        upstream.handle(job_id, "cancel", cleanup_poll_interval=0.1)
        assert upstream.handle(job_id, "status") == "NOT_FOUND"
        assert f"{job_id}/handle.json" in cloud.objects(BUCKET)

    @pytest.mark.parametrize("half", ["k8s", "gcs"])
    def test_half_a_clean_up(self, upstream: Upstream, cloud: Cloud, submit: Submit, over: Over, half: str) -> None:
        job_id = over(submit("add", 1, 2))
        upstream.handle(job_id, "cleanup", cleanup_poll_interval=0.1, **{half: False})
        alive = any(job["metadata"]["name"] == f"kinetic-{job_id}" for job in cloud.jobs())
        stored = bool(cloud.objects(BUCKET, f"{job_id}/"))
        assert (alive, stored) == ((True, False) if half == "k8s" else (False, True))
