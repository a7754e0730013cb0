"""Our own client for many files: networks that fail, tokens that expire, and services that refuse."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from data_trees import write
from gcs_server import GcsServer
from google.auth.credentials import Credentials
from google.cloud.storage import Client

from airflow_provider_kinetic.job.gcs_http import Pool
from airflow_provider_kinetic.model.errors import StoreError
from airflow_provider_kinetic.packaging.data_tree import DataFile, scan
from airflow_provider_kinetic.stores.gcs import GcsStore

MIB = 1 << 20
PLACE = "gs://tests/data"

Files = list[tuple[DataFile, str]]


@pytest.fixture
def kind() -> str:
    return "gcs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small = {f"{number:03}": os.urandom(100) for number in range(20)}
    return write(tmp_path / "data", {**small, "large": os.urandom(9 * MIB)})


@pytest.fixture
def files(folder: Path) -> Files:
    return [(file, f"{PLACE}/{file.relative}") for file in scan(folder).files]


@pytest.fixture
def large(files: Files) -> Files:
    return [pair for pair in files if pair[0].size > MIB]


def stored(gcs_store: GcsStore) -> dict[str, bytes]:
    return {info.uri.rpartition("/")[2]: gcs_store.read(info.uri) for info in gcs_store.list(f"{PLACE}/")}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("status", "times"), [(408, 1), (429, 1), (500, 1), (503, 2)])
def test_what_fails_for_a_moment_is_repeated(
    gcs: GcsServer, gcs_store: GcsStore, files: Files, folder: Path, status: int, times: int
) -> None:
    for kind in ("insert", "session", "chunk"):
        gcs.fail(kind, status=status, times=times)
    gcs_store.upload_many(files)
    assert stored(gcs_store) == content(folder)


def test_lost_answers_are_no_conflict(gcs: GcsServer, gcs_store: GcsStore, files: Files, folder: Path) -> None:
    gcs.lose_reply("insert", times=3)
    gcs.lose_reply("chunk", times=2)
    assert gcs_store.upload_many(files) == len(files)
    assert stored(gcs_store) == content(folder)


@pytest.mark.parametrize("at", [0, 1, MIB + 1, 8 * MIB])
def test_a_large_file_goes_on_where_it_broke_off(
    gcs: GcsServer, gcs_store: GcsStore, large: Files, folder: Path, at: int
) -> None:
    gcs.cut("chunk", at)
    gcs_store.upload_many(large)
    assert stored(gcs_store) == {"large": (folder / "large").read_bytes()}
    assert gcs.requests["session"] == 1


def test_a_large_file_whose_last_bytes_broke_off(gcs: GcsServer, gcs_store: GcsStore, large: Files) -> None:
    gcs.fail("chunk", status=0)  # the first request is well
    gcs.cut("chunk", 1000)
    gcs_store.upload_many(large)
    assert gcs.buckets["tests"].get("data/large", {}).content.size == 9 * MIB


def test_an_upload_that_the_service_has_forgotten_begins_again(
    gcs: GcsServer, gcs_store: GcsStore, large: Files, folder: Path
) -> None:
    gcs.fail("chunk", status=410)
    gcs_store.upload_many(large)
    assert stored(gcs_store) == {"large": (folder / "large").read_bytes()}
    assert gcs.requests["session"] == 2


@pytest.mark.parametrize("kind", ["small", "large"])
def test_bytes_that_change_on_their_way_become_no_object(
    gcs: GcsServer, gcs_store: GcsStore, files: Files, kind: str
) -> None:
    chosen = [pair for pair in files if (pair[0].size > MIB) == (kind == "large")][:1]
    gcs.corrupt("insert" if kind == "small" else "chunk")
    with pytest.raises(StoreError, match=r"(?i)crc32c"):
        gcs_store.upload_many(chosen)
    assert gcs.buckets["tests"].names() == []


def test_connections_are_kept(gcs: GcsServer, gcs_store: GcsStore, files: Files) -> None:
    gcs_store.stat(f"{PLACE}/x")
    before = gcs.connections
    gcs_store.upload_many(files)
    assert gcs.connections - before <= 6


def test_the_first_failure_ends_it(gcs: GcsServer, gcs_store: GcsStore, files: Files) -> None:
    gcs.faults.denied.add("storage.objects.create")
    with pytest.raises(StoreError, match=r"storage\.objects\.create is missing") as caught:
        gcs_store.upload_many(files)
    assert "roles/storage.objectUser" in caught.value.advice
    assert gcs.requests["insert"] <= 8


def test_a_bucket_that_is_not_there(gcs_store: GcsStore, files: Files) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'nowhere'"):
        gcs_store.upload_many([(file, f"gs://nowhere/{file.relative}") for file, _ in files])


def test_a_service_that_stays_away(gcs: GcsServer, files: Files) -> None:
    clients = [Client(client_options={"api_endpoint": gcs.url})]
    gcs.fail("insert", times=1000)
    with pytest.raises(StoreError, match="did not answer"):
        GcsStore(lambda: clients[0], patience=0.5).upload_many(files[:3])
    clients.pop().close()


def test_a_report_that_raises_ends_it(gcs: GcsServer, gcs_store: GcsStore, files: Files) -> None:
    """So does a task that is killed: Airflow raises in the thread that waits."""

    def killed(*_: int) -> None:
        raise KeyboardInterrupt

    gcs.faults.latency = 0.2
    with pytest.raises(KeyboardInterrupt):
        gcs_store.upload_many(files, report=killed)
    gcs.faults.latency = 0
    for thread in threading.enumerate():
        if thread.name.startswith("data-upload"):
            thread.join(10)
    assert gcs.requests["insert"] < len(files)


class Expiring(Credentials):  # type: ignore[misc]
    """Gives another token each time."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "token-0"
        self.refreshed = 0

    @property
    def quota_project_id(self) -> str:
        return "payer"

    def refresh(self, _: object) -> None:
        self.refreshed += 1
        self.token = f"token-{self.refreshed}"


def test_a_token_that_was_refused_is_replaced_once(
    gcs: GcsServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    credentials = Expiring()
    clients = [Client("tests", credentials, client_options={"api_endpoint": gcs.url})]
    gcs.tokens = {"token-1"}
    assert GcsStore(lambda: clients[0], patience=5).upload_many(files) == len(files)
    clients.pop().close()
    assert credentials.refreshed == 1


def test_connections_go_through_the_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.acme:3128")
    monkeypatch.setenv("NO_PROXY", "inside.acme")
    tunnelled = Pool("https://storage.googleapis.com").take()
    assert (tunnelled.host, tunnelled.port) == ("proxy.acme", 3128)
    assert vars(tunnelled)["_tunnel_host"] == "storage.googleapis.com"
    assert vars(tunnelled)["_tunnel_headers"] == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}
    assert Pool("https://inside.acme").take().host == "inside.acme"
    assert Pool("http://localhost:4443").take().host == "localhost"
