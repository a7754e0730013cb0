"""The payload of one side, run by the runner of the other: ``contract`` 14.3 number 19."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cloud import Cloud
from kube import Image
from kube.errors import Object
from kube.resources import JOBS
from project import until
from upstream import IMAGE, RUNNER, Upstream, UpstreamError

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import UserCodeError
from airflow_provider_kinetic.packaging import runner_bundle

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("shop")]
Submit = Callable[..., str]
Over = Callable[[str], str]
STUCK = "registry.example/missing:1"


class TestOurRunner:
    """In an image of upstream's own making, in the place of its runner."""

    @pytest.fixture
    def ours(self, cloud: Cloud, tmp_path: Path) -> str:
        bundle = runner_bundle.build(tmp_path / "runner.pyz")
        name = "registry.example/our-runner:1"
        cloud.kube.images[name] = Image(files={RUNNER: str(bundle.path)})
        return name

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

    @pytest.fixture
    def packed(self, cloud: Cloud, submit: Submit) -> Callable[..., str]:
        """A job of ours whose machine never starts, taken over by one of upstream's making."""

        def packed(function: str, *args: object) -> str:
            cloud.kube.images[STUCK] = Image(pull_error="not found")
            job_id = submit(function, *args, container_image=STUCK)
            name = f"kinetic-{job_id}"
            ours = next(job for job in cloud.jobs() if job["metadata"]["name"] == name)
            cloud.kube.registry.delete(JOBS, "default", name, {"propagationPolicy": "Background"})
            until(lambda: name not in [job["metadata"]["name"] for job in cloud.jobs()])
            cloud.kube.registry.create(JOBS, "default", taken_over(ours))
            return job_id

        return packed

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


def taken_over(job: Object) -> Object:
    """The same job as upstream's client would have made it (``contract`` 3.3)."""
    meta, container = job["metadata"], job["spec"]["template"]["spec"]["containers"][0]
    command = [*container["command"], *container.get("args", [])]
    flags = command[command.index("--context-gcs") :]
    job_id = meta["labels"]["job-id"]
    labels = {"app": "kinetic", "job-id": job_id}
    kept = ("KERAS_BACKEND", "JAX_PLATFORMS", "JOB_ID", "GCS_BUCKET")
    worker = {
        "name": "kinetic-worker",
        "image": IMAGE,
        "command": ["python3", "-u", RUNNER],
        "args": flags,
        "env": [each for each in container["env"] if each["name"] in kept],
    }
    spec = {"restartPolicy": "Never", "serviceAccountName": "kinetic", "containers": [worker]}
    template = {"metadata": {"labels": {**labels, "job-name": meta["name"]}}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": meta["name"], "labels": labels},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 600, "template": template},
    }
