"""What is true of objects in Cloud Storage: failing requests lose nothing, and errors say what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gcs_server import GcsServer
from google.cloud.storage import Client

from airflow_provider_kinetic.model.errors import ConfigurationError, StoreError
from airflow_provider_kinetic.stores.base import ObjectExists, ObjectMissing
from airflow_provider_kinetic.stores.gcs import GcsStore

MIB = 1 << 20
A = "gs://tests/folder/a"


@pytest.fixture
def kind() -> str:
    return "gcs"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (10 * MIB // 256))
    return path


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_for_a_moment_is_repeated(gcs: GcsServer, gcs_store: GcsStore, status: int) -> None:
    for request in ("insert", "download", "stat", "list", "rewrite", "delete"):
        gcs.fail(request, status=status)
    gcs_store.write(A, b"1", if_absent=True)
    assert gcs_store.read(A) == b"1"
    assert gcs_store.stat(A)
    gcs_store.copy(A, f"{A}-copy")
    assert [info.uri for info in gcs_store.list("gs://tests/folder/")] == [A, f"{A}-copy"]
    assert gcs_store.delete_prefix("gs://tests/folder/") == 2
    assert gcs.buckets["tests"].names() == []


def test_a_create_whose_answer_was_lost_is_our_own(gcs: GcsServer, gcs_store: GcsStore) -> None:
    gcs.lose_reply("insert")
    gcs_store.write(A, b"1", if_absent=True)
    assert gcs.requests["insert"] == 2
    with pytest.raises(ObjectExists, match=A):
        gcs_store.write(A, b"1", if_absent=True)


def test_the_same_content_of_another_writer_is_not_ours(gcs: GcsServer, gcs_store: GcsStore) -> None:
    gcs_store.write(A, b"1")
    gcs.fail("insert")
    with pytest.raises(ObjectExists):
        gcs_store.write(A, b"1", if_absent=True)


@pytest.mark.parametrize("if_absent", [False, True])
def test_a_large_upload_goes_on_where_it_broke_off(
    gcs: GcsServer, gcs_store: GcsStore, large: Path, if_absent: bool
) -> None:
    gcs.fail("session")
    gcs.fail("chunk")
    gcs.cut("chunk", MIB)
    gcs.lose_reply("chunk", times=2)
    gcs_store.upload(large, A, if_absent=if_absent)
    assert gcs_store.read(A) == large.read_bytes()
    assert gcs.requests["session"] == 2


def test_a_large_file_is_not_sent_where_an_object_is(gcs: GcsServer, gcs_store: GcsStore, large: Path) -> None:
    gcs_store.write(A, b"first")
    with pytest.raises(ObjectExists):
        gcs_store.upload(large, A, if_absent=True)
    assert gcs.requests["chunk"] == 0


def test_a_download_that_breaks_off_is_continued(gcs: GcsServer, gcs_store: GcsStore, large: Path) -> None:
    gcs_store.upload(large, A)
    gcs.cut("download", 3 * MIB)
    gcs_store.download(A, large.with_suffix(".back"))
    assert large.with_suffix(".back").read_bytes() == large.read_bytes()
    assert gcs.requests["download"] == 2


@pytest.mark.parametrize("cut", [False, True])
def test_changed_bytes_are_noticed(gcs: GcsServer, gcs_store: GcsStore, large: Path, cut: bool) -> None:
    gcs_store.upload(large, A)
    if cut:  # the client library does not look at the rest's checksum
        gcs.cut("download", 3 * MIB)
    gcs.corrupt("download")
    with pytest.raises(StoreError, match="CRC32C"):
        gcs_store.read(A)


def test_long_listings_come_in_pages_and_begin_where_asked(gcs: GcsServer, gcs_store: GcsStore) -> None:
    gcs.page_limit = 10
    uris = [f"gs://tests/logs/{number:04d}" for number in range(35)]
    for uri in uris:
        gcs_store.write(uri, b"")
    assert [info.uri for info in gcs_store.list("gs://tests/logs/")] == uris
    assert gcs.requests["list"] == 4
    assert [info.uri for info in gcs_store.list("gs://tests/logs/", after=uris[-4])] == uris[-3:]
    assert gcs.requests["list"] == 5
    assert gcs_store.delete_prefix("gs://tests/logs/") == 35


def test_a_large_copy_takes_several_calls(gcs: GcsServer, gcs_store: GcsStore) -> None:
    gcs.rewrite_calls = 3
    gcs_store.write(A, b"123")
    gcs_store.copy(A, f"{A}-copy")
    assert gcs.requests["rewrite"] == 3
    assert gcs_store.read(f"{A}-copy") == b"123"


def test_a_deletion_whose_answer_was_lost_does_not_take_the_next_object(gcs: GcsServer, gcs_store: GcsStore) -> None:
    gcs_store.write(A, b"1")
    gcs.lose_reply("delete")
    gcs_store.delete(A)
    assert gcs.requests["delete"] == 2
    assert gcs_store.stat(A) is None


def test_what_was_replaced_since_it_was_listed_stays(gcs: GcsServer, gcs_store: GcsStore) -> None:
    gcs_store.write(A, b"1")
    gcs.fail("delete", times=3)
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(gcs_store.delete_prefix, "gs://tests/folder/")
        while not gcs.requests["delete"]:
            time.sleep(0.001)
        gcs_store.write(A, b"2")
        assert deleting.result() == 0
    assert gcs_store.read(A) == b"2"


CALLS: dict[str, Callable[[GcsStore, str], object]] = {
    "storage.objects.get": lambda store, uri: store.read(uri),
    "storage.objects.create": lambda store, uri: store.write(uri, b""),
    "storage.objects.list": lambda store, uri: store.list(f"{uri}/"),
    "storage.objects.delete": lambda store, uri: store.delete(uri),
}


@pytest.mark.parametrize("permission", CALLS)
def test_a_missing_permission_and_its_role_are_named(gcs: GcsServer, gcs_store: GcsStore, permission: str) -> None:
    gcs_store.write(A, b"")
    gcs.faults.denied = {permission}
    with pytest.raises(StoreError) as caught:
        CALLS[permission](gcs_store, A)
    assert permission in caught.value.summary
    assert A in caught.value.summary
    assert "roles/storage.objectUser" in caught.value.advice


@pytest.mark.parametrize("permission", CALLS)
def test_a_missing_bucket_is_not_a_missing_object(gcs: GcsServer, gcs_store: GcsStore, permission: str) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'elsewhere'") as caught:
        CALLS[permission](gcs_store, "gs://elsewhere/a")
    assert "gcloud storage buckets create gs://elsewhere" in caught.value.advice
    assert gcs.requests


@pytest.mark.usefixtures("gcs_store")
def test_a_service_that_stays_away_is_an_error_after_a_while(gcs: GcsServer) -> None:
    gcs.fail("download", times=100)
    client = Client(client_options={"api_endpoint": gcs.url})
    with pytest.raises(StoreError, match="did not answer") as caught:
        GcsStore(lambda: client, patience=0.5).read(A)
    client.close()
    assert "network" in caught.value.advice
    assert gcs.requests["download"] > 1


def test_credentials_that_cannot_be_had_are_an_error_with_advice() -> None:
    from google.auth.exceptions import DefaultCredentialsError

    def refuse() -> None:
        raise DefaultCredentialsError("none found")  # type: ignore[no-untyped-call]

    with pytest.raises(StoreError, match="none found") as caught:
        GcsStore(refuse).read(A)
    assert "gcp_conn_id" in caught.value.advice


def test_a_missing_source_is_an_error_that_names_it(gcs_store: GcsStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.bin"):
        gcs_store.upload(tmp_path / "gone.bin", A)


def test_a_download_that_fails_leaves_no_file(gcs_store: GcsStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        gcs_store.download(A, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["gs://tests", "gs://tests/"])
def test_a_whole_bucket_is_never_deleted(gcs_store: GcsStore, prefix: str) -> None:
    gcs_store.write(A, b"")
    with pytest.raises(ConfigurationError):
        gcs_store.delete_prefix(prefix)
    assert [info.uri for info in gcs_store.list(prefix)] == [A]


def test_importing_the_store_imports_no_google() -> None:
    script = "import sys, airflow_provider_kinetic.stores.gcs; sys.exit('google.cloud.storage' in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-c", script], check=False).returncode == 0
