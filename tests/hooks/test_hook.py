"""The whole behind one connection, on GKE and on any cluster: from submit to clean-up."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gcs_server import GcsServer
from google_apis import CLUSTER, PROJECT, ZONE, GoogleApis
from kube import Image, KubeServer
from project import until

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError, JobNotFound, ResultGone
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState

SUBMIT = "submit@acme.iam.gserviceaccount.com"
IMAGE = "europe-docker.pkg.dev/acme/jobs/image:1"
SPEC = {"accelerator": "cpu", "container_image": IMAGE, "stop_grace": 2.0}
BUCKET = "kinetic-tests"


def double(x: int) -> int:
    print(f"doubling {x}")
    return 2 * x


def read(*paths: str) -> list[str]:
    return [Path(path).read_text() for path in paths]


def wait(seconds: float) -> None:
    time.sleep(seconds)


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    with GcsServer(BUCKET) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def cluster(gcs: GcsServer) -> Iterator[KubeServer]:
    """Its pods find the storage."""
    with KubeServer(service_accounts=["kinetic"], environment={"STORAGE_EMULATOR_HOST": gcs.url}) as server:
        server.images[IMAGE] = Image(python=sys.executable)
        yield server


@pytest.fixture(params=["gke", "kubernetes"])
def hook(
    request: pytest.FixtureRequest,
    cluster: KubeServer,
    connect: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[KineticHook]:
    if request.param == "kubernetes":
        connect("kubernetes_default", "kubernetes", kube_config_path=str(cluster.kubeconfig(tmp_path / "config")))
        connect("kinetic_default", "kinetic", platform="kubernetes", bucket=BUCKET)
        yield KineticHook()
        return
    with GoogleApis(cluster) as google:
        google.enter(monkeypatch, tmp_path)
        connect("google_cloud_default", "google_cloud_platform", **google.connection(SUBMIT))
        place = {"project": PROJECT, "zone": ZONE, "cluster": CLUSTER, "bucket": BUCKET}
        connect("kinetic_default", "kinetic", platform="gke", **place)
        yield KineticHook()


def finished(hook: KineticHook, handle: JobHandle) -> None:
    until(lambda: hook.status(handle).state.terminal)


def test_from_submit_to_clean_up(hook: KineticHook, gcs: GcsServer) -> None:
    handle = hook.submit(double, (21,), **SPEC)
    reached = KineticHook.of(hook.attach(handle.job_id))
    finished(reached, handle)
    assert reached.status(handle).state is JobState.SUCCEEDED
    assert [job.job_id for job in reached.list()] == [handle.job_id]
    assert "doubling 21" in reached.logs(handle)
    assert "doubling 21" in reached.logs(handle, tail=5)
    assert reached.result(handle) == 42

    reached.cleanup(handle, by="a test")

    until(lambda: not reached.list())  # the cluster removes a Job after its pods
    assert not any(name.startswith(handle.job_id) for name in gcs.buckets[BUCKET].names())
    again = KineticHook()
    assert again.attach(handle.job_id) == handle
    assert again.result(handle, trust_bucket=True) == 42, "the value outlives the clean-up"


def test_data_of_a_call(hook: KineticHook, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    data, volume = Data(tmp_path / "a.txt"), tmp_path / "volume"
    handle = hook.submit(read, (data, f"{volume}/a.txt"), volumes={str(volume): data}, **SPEC)
    finished(hook, handle)
    assert hook.result(handle) == ["a", "a"]


def test_data_that_cannot_be_meant(hook: KineticHook, gcs: GcsServer) -> None:
    with pytest.raises(ConfigurationError, match="'data' is no absolute path"):
        hook.submit(double, (1,), volumes={"data": Data("gs://acme/x/")}, **SPEC)
    with pytest.raises(ConfigurationError, match="a member of a set"):
        hook.submit(double, ({Data("gs://acme/x/")},), **SPEC)
    assert list(gcs.buckets[BUCKET].names()) == [], "nothing was sent"


def goes_on(lr: float) -> tuple[int, float]:
    from airflow_provider_kinetic import job

    trial = job.trial()
    step = (trial.latest.step if trial.latest else 0) + 1
    with trial.save(step):
        return step, lr


@pytest.mark.faults  # four jobs
def test_calls_go_on_in_a_trial(hook: KineticHook) -> None:
    handles = []
    for _ in range(2):
        handles.append(hook.submit(goes_on, (0.1,), trial="x", on_mismatch="error", **SPEC))
        finished(hook, handles[-1])
    assert [hook.result(handle) for handle in handles] == [(1, 0.1), (2, 0.1)]
    assert handles[0].output_dir == handles[1].output_dir
    with pytest.raises(ConfigurationError, match=r"lr: 0.1 → 0.2"):
        hook.submit(goes_on, (0.2,), trial="x", on_mismatch="error", **SPEC)
    with pytest.raises(ConfigurationError, match="`resume` is 'later'"):
        hook.submit(goes_on, (0.1,), resume="later", **SPEC)


def test_the_jobs_of_one_identity_are_its_own(hook: KineticHook) -> None:
    """Two calls are two jobs; with a journal the second call finds the first job."""
    from airflow_provider_kinetic.hooks.direct import MemoryJournal
    from airflow_provider_kinetic.model.spec import TaskIdentity

    first, second = (hook.submit(double, (1,), **SPEC) for _ in range(2))
    assert first.job_id != second.job_id
    journal, identity = MemoryJournal(), TaskIdentity("d", "t", "r")
    task = [hook.submit(double, (1,), journal=journal, identity=identity, **SPEC) for _ in range(2)]
    assert task[0] == task[1]
    assert task[0].installation
    assert not first.installation, "gc ends jobs whose task is gone, and this one never had any"


def test_cancel(hook: KineticHook) -> None:
    handle = hook.submit(wait, (60,), **SPEC)
    until(lambda: hook.status(handle).state is JobState.RUNNING)
    assert hook.cancel(handle, by="a test", wait=20)
    assert hook.status(handle).state is JobState.NOT_FOUND


def test_what_somebody_else_has_deleted_says_so(hook: KineticHook) -> None:
    """As upstream's client does when it has collected: the Job and everything under its id."""
    handle = hook.submit(double, (1,), **SPEC)
    finished(hook, handle)
    hook.ports.cluster.delete(handle, wait=10)
    hook.ports.store.delete_prefix(handle.prefix)
    with pytest.raises(ResultGone, match="somebody deleted it") as caught:
        hook.result(handle)
    assert handle.job_id in caught.value.summary
    assert caught.value.advice
    with pytest.raises(JobNotFound, match="no job 'job-00000000'"):
        hook.attach("job-00000000")


def test_a_result_is_read_without_the_cluster(
    hook: KineticHook, cluster: KubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening asks nobody: not Google for the cluster, not the kubeconfig, not the API server."""
    handle = hook.submit(double, (4,), **SPEC)
    finished(hook, handle)
    hook.cleanup(handle, by="a test")
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", "http://127.0.0.1:9/")
    monkeypatch.delenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    asked = len(cluster.requests)
    reader = KineticHook.of(handle)
    assert handle.result_uri.startswith("gs://")
    assert reader.ports.store.stat(handle.result_uri) is not None
    assert len(cluster.requests) == asked


def test_a_piece_that_no_job_has(hook: KineticHook) -> None:
    with pytest.raises(ConfigurationError, match="acelerator") as caught:
        hook.submit(double, (1,), acelerator="cpu")
    assert "`accelerator`" in caught.value.advice


@pytest.mark.parametrize(
    ("image", "advice"), [("prebuilt", "`base_image_repo=`"), ("not an image!", "`container_image=`")]
)
def test_images_are_named(hook: KineticHook, gcs: GcsServer, image: str, advice: str) -> None:
    refuses_image(hook, gcs, image, advice)


@pytest.mark.parametrize("hook", ["kubernetes"], indirect=True)
@pytest.mark.parametrize("image", [None, "bundled"])
def test_nothing_is_built_without_a_repository(hook: KineticHook, gcs: GcsServer, image: str | None) -> None:
    refuses_image(hook, gcs, image, "`container_image=`")


def refuses_image(hook: KineticHook, gcs: GcsServer, image: str | None, advice: str) -> None:
    with pytest.raises(ConfigurationError, match="image") as caught:
        hook.submit(double, (1,), accelerator="cpu", container_image=image)
    assert advice in caught.value.advice
    assert list(gcs.buckets[BUCKET].names()) == [], "nothing was sent"
