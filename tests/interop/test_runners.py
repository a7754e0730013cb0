"""The payload of one side, run by the runner of the other: ``contract`` 14.3 number 19."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from upstream import Upstream, UpstreamError

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import UserCodeError

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("shop")]
Over = Callable[[str], str]


class TestOurRunner:
    """In an image of upstream's own making, in the place of its runner."""

    def test_a_value(self, upstream: Upstream, ours: str, over: Over) -> None:
        job_id = over(upstream.submit("add", 1, 2, container_image=ours))
        assert upstream.handle(job_id, "result", cleanup=False) == {"sum": 3, "pair": (1, 2)}
        hook = KineticHook()
        assert hook.result(hook.attach(job_id)) == {"sum": 3, "pair": (1, 2)}
        assert "adding 1 and 2" in upstream.handle(job_id, "logs")

    def test_an_exception(self, upstream: Upstream, ours: str, over: Over) -> None:
        job_id = over(upstream.submit("fail", "no such file", container_image=ours))
        with pytest.raises(UpstreamError, match="no such file") as caught:
            upstream.handle(job_id, "result", cleanup=False)
        assert caught.value.kind == "builtins.ValueError"
        assert "in fail" in caught.value.notes[0]

    def test_an_exit_without_a_code_is_a_success(self, upstream: Upstream, ours: str, over: Over) -> None:
        """Upstream's own runner of this release calls it a failure."""
        assert upstream.handle(over(upstream.submit("leave", 0, container_image=ours)), "result") is None


class TestTheirRunner:
    """Starts what we have packed, with the arguments that upstream's client would give it."""

    def test_a_value(self, upstream: Upstream, packed: Callable[..., str], over: Over) -> None:
        job_id = over(packed("add", 1, 2))
        assert upstream.handle(job_id, "result", cleanup=False) == {"sum": 3, "pair": (1, 2)}
        assert KineticHook().result(KineticHook().attach(job_id), trust_bucket=True) == {"sum": 3, "pair": (1, 2)}

    def test_an_exception(self, upstream: Upstream, packed: Callable[..., str], over: Over) -> None:
        job_id = over(packed("fail", "no such file"))
        with pytest.raises(UpstreamError, match="no such file"):
            upstream.handle(job_id, "result", cleanup=False)
        with pytest.raises(UserCodeError, match="no such file"):
            KineticHook().result(KineticHook().attach(job_id), trust_bucket=True)
