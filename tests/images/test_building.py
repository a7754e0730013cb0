"""A build from its start to its end: what is asked for, what is sent, what is told."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google_apis_builds import GoogleBuilds

from airflow_provider_kinetic.builders import cloud_build_status
from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder
from airflow_provider_kinetic.builders.cloud_build_request import source_archive
from airflow_provider_kinetic.hooks.cloud_build import KineticCloudBuildAsyncHook
from airflow_provider_kinetic.hooks.gcs import KineticGCSHook
from airflow_provider_kinetic.lifecycle.building import Inspect
from airflow_provider_kinetic.lifecycle.effects import FINAL
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import ConfigurationError, ImageError, InfrastructureError, QuotaExceeded
from airflow_provider_kinetic.model.images import Build, BuildState, BuildStatus
from airflow_provider_kinetic.triggers import builds

BUCKET = "acme-kn-trainer-jobs"
POOL = "projects/acme/locations/europe-west1/workerPools/big"


def start(builder: CloudImageBuilder, requirements: str = "numpy\n", category: str = "cpu") -> Build:
    return builder.start(builder.request_for(category, requirements), log=lambda _: None)


def test_a_build_is_that_of_the_contract(builder_with: Any, google: GoogleBuilds) -> None:
    builder = builder_with(layer_cache=False)
    build = start(builder)
    order = google.only()
    claim = next(tag for tag in order["tags"] if tag.startswith("claim-"))
    assert order["name"] == f"projects/acme/locations/global/builds/{build.id}"
    assert order["steps"] == [
        {
            "name": "gcr.io/cloud-builders/docker",
            "env": ["DOCKER_BUILDKIT=1"],
            "args": ["build", "--progress", "plain", "--tag", build.uri, "."],
        }
    ]
    assert order["images"] == [build.uri]
    assert order["options"] == {"logging": "CLOUD_LOGGING_ONLY"}
    assert order["serviceAccount"] == "projects/acme/serviceAccounts/kn-trainer-builds@acme.iam.gserviceaccount.com"
    assert order["timeout"] == "1200s"
    assert order["tags"] == ["kinetic", build.tag, claim]
    assert order["source"] == {"storageSource": {"bucket": BUCKET, "object": f"_images/{build.tag}/1/source.tar.gz"}}
    assert (build.place, build.number, build.started_by_us) == ("projects/acme/locations/global", 1, True)
    assert build.log_url == order["logUrl"]


def test_options_reach_the_request(builder_with: Any, google: GoogleBuilds) -> None:
    builder = builder_with(
        region="europe-west1", machine_type="E2_HIGHCPU_8", timeout=600.0, tags=("team-a",), service_account="b@x.y"
    )
    build, order = start(builder), google.only()
    cache = build.uri.rpartition(":")[0] + ":cache-cpu"
    assert build.place == "projects/acme/locations/europe-west1"
    assert order["options"]["machineType"] == "E2_HIGHCPU_8"
    assert order["timeout"] == "600s"
    assert order["tags"][-1] == "team-a"
    assert order["serviceAccount"] == "projects/acme/serviceAccounts/b@x.y"
    assert order["images"] == [build.uri, cache]
    assert order["steps"][0]["args"][3:7] == ["--cache-from", cache, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]


def test_a_build_runs_where_its_pool_is(builder_with: Any, google: GoogleBuilds) -> None:
    build = start(builder_with(worker_pool=POOL))
    assert build.place == "projects/acme/locations/europe-west1"
    assert google.only()["options"]["pool"] == {"name": POOL}
    with pytest.raises(ConfigurationError, match="`build_region` is 'us-east1'"):
        start(builder_with(worker_pool=POOL, region="us-east1"), "other\n")


def test_what_is_sent_is_reproducible(builder: CloudImageBuilder) -> None:
    request = builder.request_for("cpu", "numpy\n")
    start(builder)
    sent = KineticGCSHook().store().read(f"gs://{BUCKET}/_images/{request.tag}/1/source.tar.gz")
    assert sent == source_archive(request) == source_archive(request)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(sent))) as archive:
        files = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]
    assert files == {"Dockerfile": request.dockerfile, "requirements.txt": "numpy\n"}


def test_a_build_ends_with_its_image(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    build = start(builder)
    assert builder.status(build).state is BuildState.QUEUED
    google.work(google.only())
    assert builder.status(build).state is BuildState.WORKING
    google.succeed(google.only())
    status = builder.status(build)
    assert status.image is not None
    assert (status.image.uri, status.image.build_id, status.image.cached) == (build.uri, build.id, False)
    assert builder.find(builder.request_for("cpu", "numpy\n")) is not None


def test_an_event_loop_looks_without_blocking(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    build = start(builder)
    google.fail(google.only(), "ERROR: failed to solve: python:9-slim: docker.io/library/python:9-slim: not found")
    looked = asyncio.run(builder.look(build))
    assert looked == builder.status(build)
    assert looked.state is BuildState.FAILED


def test_a_cancellation_is_idempotent(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    build = start(builder)
    builder.cancel(build)
    assert builder.status(build).state is BuildState.CANCELLED
    builder.cancel(build)
    builder.cancel(Build("t", "u", "unknown", place=build.place))
    assert google.asked["builds.cancel"] == 3


def test_a_build_that_google_forgot_has_failed(
    builder: CloudImageBuilder, google: GoogleBuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_build_status, "LATE", 0.0)
    build = start(builder)
    google.builds.clear()
    status = builder.status(build)
    assert (status.state, status.message) == (BuildState.FAILED, "Cloud Build does not know it any more")


@pytest.mark.parametrize(
    ("status", "message", "kind", "says", "advice"),
    [
        (
            403,
            "The caller does not have permission",
            ImageError,
            "may not start builds",
            "roles/cloudbuild.builds.editor",
        ),
        (403, "caller does not have permission to act as service account", ImageError, "may not", "serviceAccountUser"),
        (429, "Quota exceeded for quota metric", QuotaExceeded, "quota", "build_region"),
        (
            400,
            "due to quota restrictions, cannot run builds in this region",
            QuotaExceeded,
            "quota",
            "build_worker_pool",
        ),
        (
            400,
            "could not resolve source: storage.objects.get denied",
            ImageError,
            "refuses",
            "roles/storage.objectViewer",
        ),
        (
            403,
            "Permission 'cloudbuild.workerpools.use' denied on resource 'projects/x/locations/y/workerPools/z'",
            ImageError,
            "may not start builds",
            "roles/cloudbuild.workerPoolUser",
        ),
        (400, "service account does not exist", ImageError, "refuses", "build_service_account"),
        (400, "invalid machine type", ImageError, "refuses", "build_machine_type"),
    ],
)
def test_a_refusal_says_what_to_do_and_can_be_retried(
    builder: CloudImageBuilder,
    google: GoogleBuilds,
    status: int,
    message: str,
    kind: type[Exception],
    says: str,
    advice: str,
) -> None:
    google.faults.append(("builds.create", status, message))
    with pytest.raises(kind, match=says) as caught:
        start(builder)
    assert message in str(caught.value)
    assert advice in str(caught.value)
    assert start(builder).number == 2


def test_a_look_too_many_is_repeated_and_ends_no_wait(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    """A quota of requests says nothing about the build: whoever waits asks again, as of a service that is away."""
    build = start(builder)
    for look in (builder.status, lambda build: asyncio.run(builder.look(build))):
        google.faults.append(("builds.get", 429, "Quota exceeded for quota metric 'Build and Operation Get requests'"))
        with pytest.raises(InfrastructureError, match="too many requests") as caught:
            look(build)
        assert not isinstance(caught.value, FINAL)
        assert look(build).state is BuildState.QUEUED


def test_named_and_prebuilt_images_ask_nobody(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    assert builder.named("europe-docker.pkg.dev/acme/x/y:1").uri == "europe-docker.pkg.dev/acme/x/y:1"
    with pytest.raises(ConfigurationError):
        builder.named("not an image!")
    with pytest.raises(ConfigurationError, match="prebuilt"):
        builder.prebuilt("cpu")
    assert not google.asked


def test_the_provider_s_own_interface_answers_too(builder: CloudImageBuilder) -> None:
    build, hook = start(builder), KineticCloudBuildAsyncHook(gcp_conn_id="gcp")
    found = asyncio.run(hook.get_cloud_build(build.id, project_id="acme"))
    assert (found.id, found.status.name, found.images[0]) == (build.id, "QUEUED", build.uri)
    with pytest.raises(NotFound):
        asyncio.run(hook.get_cloud_build("unknown", project_id="acme"))


def test_an_event_loop_is_told_what_is_wrong(
    builder: CloudImageBuilder, google: GoogleBuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = start(builder)
    google.forbidden.add("cloudbuild.builds.get")
    with pytest.raises(ImageError, match="may not look at builds") as caught:
        asyncio.run(builder.look(build))
    assert "roles/cloudbuild.builds.editor" in caught.value.advice
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD", "http://127.0.0.1:9")
    for look in (lambda: asyncio.run(builder.look(build)), lambda: builder.status(build)):
        with pytest.raises(InfrastructureError, match="Cloud Build does not answer") as away:
            look()
        assert not isinstance(away.value, ImageError)


def test_triggers_share_one_look(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    build = start(builder)
    ports = Ports(cluster=None, store=None, builder=builder)  # type: ignore[arg-type]

    async def ask() -> list[BuildStatus]:
        return await asyncio.gather(*(builds.status(ports, Inspect(build, poll=5.0)) for _ in range(50)))

    assert {status.state for status in asyncio.run(ask())} == {BuildState.QUEUED}
    assert google.asked["builds.get"] == 1
