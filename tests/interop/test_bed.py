"""Upstream alone on our servers: what fails here is the bed's fault, and not the exchange's."""

from __future__ import annotations

import pytest
from project import until
from upstream import Upstream, UpstreamError

pytestmark = pytest.mark.interop


def test_a_job_from_submit_to_result(upstream: Upstream) -> None:
    job_id = upstream.submit("add", 1, 2)
    until(lambda: upstream.handle(job_id, "status") == "SUCCEEDED")
    assert upstream.handle(job_id, "result") == {"sum": 3, "pair": (1, 2)}
    with pytest.raises(UpstreamError, match="NotFound"):
        upstream.attach(job_id)


def test_an_exception_comes_back_with_its_remote_traceback(upstream: Upstream) -> None:
    job_id = upstream.submit("fail", "no such file")
    until(lambda: upstream.handle(job_id, "status") == "FAILED")
    with pytest.raises(UpstreamError, match="no such file") as caught:
        upstream.handle(job_id, "result")
    assert caught.value.kind == "builtins.ValueError"
    assert "in fail" in caught.value.notes[0]


def test_a_group_of_hosts(upstream: Upstream) -> None:
    job_id = upstream.submit("add", 1, 2, accelerator="v5p-8")
    assert upstream.attach(job_id)["backend"] == "pathways"
    until(lambda: upstream.handle(job_id, "status") == "SUCCEEDED")
    assert job_id in upstream.list_jobs()
    assert upstream.handle(job_id, "result") == {"sum": 3, "pair": (1, 2)}
    assert job_id not in upstream.list_jobs()


def test_its_command_line(upstream: Upstream) -> None:
    job_id = upstream.submit("add", 1, 2)
    code, text = upstream.cli("jobs", "status", job_id)
    assert (code, text.partition(":")[0]) == (0, job_id)
