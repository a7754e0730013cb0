"""Both command lines on jobs of the other side: ``contract`` 14.3 number 15 and its mirror."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from command_line import CommandLine
from project import until
from upstream import BUCKET, CLUSTER, PROJECT, ZONE, Upstream

pytestmark = pytest.mark.interop
Submit = Callable[..., str]
Over = Callable[[str], str]
QUICK = ("--cleanup-poll-interval", "0.1")


class TestUpstreams:
    """``kinetic jobs …`` on a job of ours."""

    def test_looks_at_it(self, upstream: Upstream, submit: Submit, over: Over) -> None:
        job_id = over(submit("wait", "/"))
        assert upstream.cli("jobs", "status", job_id) == (0, f"{job_id}: SUCCEEDED\n")
        where = ("--project", PROJECT, "--zone", ZONE, "--cluster", CLUSTER, "--namespace", "default")
        code, table = upstream.cli("jobs", "list", *where)
        assert code == 0
        assert [word in table for word in (job_id, "wait", "cpu", "gke")] == [True] * 4
        code, text = upstream.cli("jobs", "logs", job_id)
        assert (code, "line 0" in text, "went on" in text) == (0, True, True)
        code, text = upstream.cli("jobs", "logs", job_id, "--tail", "1")
        assert (code, text.strip()) == (0, "went on")

    def test_follows_it_until_its_end(self, upstream: Upstream, shop: CloudShop, submit: Submit) -> None:
        job_id = submit("wait", str(shop.folder / "open"))
        until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
        with shop.meanwhile(lambda: upstream.cli("jobs", "logs", job_id, "--follow")):
            shop.open_gate()
        assert "went on" in upstream.printed

    def test_collects_and_cleans_it(self, upstream: Upstream, cloud: Cloud, submit: Submit, over: Over) -> None:
        job_id = over(submit("count"))
        result = ("jobs", "result", job_id, "--timeout", "30")
        assert upstream.cli(*result, "--no-cleanup") == (0, "{'sum': 3, 'of': [1, 2]}\n")
        assert upstream.cli("jobs", "cleanup", job_id, "--no-gcs", *QUICK)[0] == 0
        assert upstream.cli("jobs", "status", job_id) == (0, f"{job_id}: NOT_FOUND\n")
        assert upstream.cli("jobs", "cleanup", job_id, "--no-k8s")[0] == 0
        assert cloud.objects(BUCKET, f"{job_id}/") == []

    def test_cancels_it(self, upstream: Upstream, shop: CloudShop, submit: Submit) -> None:
        job_id = submit("wait", str(shop.folder / "open"))
        assert upstream.cli("jobs", "cancel", job_id, *QUICK)[0] == 0
        assert upstream.cli("jobs", "status", job_id) == (0, f"{job_id}: NOT_FOUND\n")

    def test_as_a_program(self, upstream: Upstream, submit: Submit, over: Over) -> None:
        job_id = over(submit("add", 1, 2))
        ended = upstream.script("jobs", "status", job_id)
        assert (ended.returncode, ended.stdout) == (0, f"{job_id}: SUCCEEDED\n")


class TestOurs:
    """``airflow kinetic jobs …`` on a job of upstream's."""

    def test_looks_at_it(self, upstream: Upstream, kinetic: CommandLine, over: Over) -> None:
        job_id = over(upstream.submit("wait", "/"))
        row = json.loads(kinetic("jobs", "status", job_id, "-o", "json"))
        assert (row["job_id"], row["state"]) == (job_id, "SUCCEEDED")
        listed = json.loads(kinetic("jobs", "list", "-o", "json"))
        assert [row["function"] for row in listed if row["job_id"] == job_id] == ["wait"]
        assert kinetic("jobs", "logs", job_id).splitlines()[0] == "line 0"
        assert kinetic("jobs", "logs", job_id, "--tail", "1") == "went on\n"

    def test_follows_it_until_its_end(self, upstream: Upstream, shop: CloudShop, kinetic: CommandLine) -> None:
        job_id = upstream.submit("wait", str(shop.folder / "open"))

        def opened() -> None:
            until(lambda: upstream.handle(job_id, "status") == "RUNNING", PATIENCE)
            shop.open_gate()

        with shop.meanwhile(opened):
            assert kinetic("jobs", "logs", job_id, "--follow").splitlines()[-1] == "went on"

    def test_collects_and_cleans_it(self, upstream: Upstream, cloud: Cloud, kinetic: CommandLine, over: Over) -> None:
        job_id = over(upstream.submit("count"))
        assert json.loads(kinetic("jobs", "result", job_id)) == {"sum": 3, "of": [1, 2]}
        kinetic("jobs", "cleanup", job_id, "--no-artifacts")
        until(lambda: upstream.handle(job_id, "status") == "NOT_FOUND")
        kinetic("jobs", "cleanup", job_id)
        assert cloud.objects(BUCKET, f"{job_id}/") == []

    def test_cancels_it(self, upstream: Upstream, shop: CloudShop, kinetic: CommandLine) -> None:
        job_id = upstream.submit("wait", str(shop.folder / "open"))
        kinetic("jobs", "cancel", job_id)
        assert upstream.handle(job_id, "status") == "NOT_FOUND"
