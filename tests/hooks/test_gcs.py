"""Cloud Storage through a Google connection."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gcs_server import GcsServer
from google_apis import PROJECT, GoogleApis

from airflow_provider_kinetic.hooks.gcs import CONNECTIONS, KineticGCSHook
from airflow_provider_kinetic.model.errors import ConnectionError_, StoreError

SUBMIT, OTHER = "submit@acme.iam.gserviceaccount.com", "other@acme.iam.gserviceaccount.com"
CLOUD = "google_cloud_platform"


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer("jobs") as server:
        yield server
        assert server.unknown == []


@pytest.fixture
def emulator(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    return gcs


@pytest.fixture
def guarded(gcs: GcsServer, google: GoogleApis, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """It lets in who has a token of Google's."""
    warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)  # of refused requests, by the library
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", gcs.url)
    gcs.tokens = google.owners
    return gcs


@pytest.mark.usefixtures("emulator")
def test_an_emulator_needs_no_connection() -> None:
    store = KineticGCSHook("nowhere").store()
    store.write("gs://jobs/a", b"1")
    assert store.read("gs://jobs/a") == b"1"


@pytest.mark.usefixtures("guarded")
def test_a_token_of_the_connection_opens_the_bucket(google: GoogleApis, connect: Any) -> None:
    connect("gcp", CLOUD, **google.connection(SUBMIT))
    store = KineticGCSHook("gcp").store()
    store.write("gs://jobs/a", b"1")
    assert store.read("gs://jobs/a") == b"1"
    assert set(google.owners.values()) == {SUBMIT}


@pytest.mark.usefixtures("guarded")
def test_one_client_for_each_identity(google: GoogleApis, connect: Any) -> None:
    connect("a", CLOUD, **google.connection(SUBMIT))
    connect("b", CLOUD, **google.connection(OTHER))
    first, again, other = (KineticGCSHook(conn_id).client() for conn_id in ("a", "a", "b"))
    assert first is again
    assert first is not other


def test_nothing_is_asked_before_the_first_object() -> None:
    KineticGCSHook("nowhere").store()
    with pytest.raises(ConnectionError_, match="no connection `nowhere`"):
        KineticGCSHook("nowhere").store().read("gs://jobs/a")


def test_credentials_that_google_refuses(guarded: GcsServer, google: GoogleApis, connect: Any) -> None:
    connect("gcp", CLOUD, **google.connection(SUBMIT))
    guarded.tokens = ()
    with pytest.raises(StoreError, match="no valid credentials") as caught:
        KineticGCSHook("gcp").store().read("gs://jobs/a")
    assert "`gcp_conn_id`" in caught.value.advice
    gc.collect()


def test_many_threads_share_a_client(emulator: GcsServer, caplog: pytest.LogCaptureFixture) -> None:
    """With next to no discarded connection, of which urllib3 warns: the pool holds one for each of them.

    A busy machine may lose a few; a pool of the default size would discard two thirds.
    """
    hook = KineticGCSHook()
    gate = threading.Barrier(CONNECTIONS)

    def work(number: int) -> bytes:
        store = hook.store()
        gate.wait()
        store.write(f"gs://jobs/{number}", str(number).encode())
        return store.read(f"gs://jobs/{number}")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert list(pool.map(work, range(CONNECTIONS))) == [str(number).encode() for number in range(CONNECTIONS)]
    assert caplog.text.count("discarding") < CONNECTIONS / 4
    assert emulator.connections < 2 * CONNECTIONS


@pytest.mark.parametrize(
    ("project", "denied", "expected"),
    [(PROJECT, set(), True), ("another", set(), False), (PROJECT, {"storage.buckets.list"}, None)],
)
def test_whose_a_bucket_is(emulator: GcsServer, project: str, denied: set[str], expected: bool | None) -> None:
    emulator.buckets["jobs"].project = PROJECT
    emulator.faults.denied |= denied
    assert KineticGCSHook().belongs("jobs", project) is expected
