"""The job's own client of Cloud Storage: the same promises as files, and failures in the middle of things."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gcs_server import GcsServer

from airflow_provider_kinetic.job.gcs import GcsStorage, Upload
from airflow_provider_kinetic.job.gcs_http import GcsError, Session
from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing

MIB = 1 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(MIB) * 20)
    return path


@pytest.mark.parametrize("name", ["a", "with space", "ünï/cödé 試", "what?#%20", "a//b"])
def test_an_object_of_any_name_reads_as_it_was_written(storage: GcsStorage, name: str) -> None:
    storage.write(f"gs://tests/{name}", b"\0one\r\n--")
    assert storage.read(f"gs://tests/{name}") == b"\0one\r\n--"
    assert storage.list("gs://tests/") == [f"gs://tests/{name}"]


def test_empty_and_replaced_objects(storage: GcsStorage, uri: str) -> None:
    storage.write(uri, b"a longer text")
    storage.write(uri, b"")
    assert storage.read(uri) == b""


def test_what_is_not_there_is_missing(storage: GcsStorage, uri: str) -> None:
    with pytest.raises(ObjectMissing):
        storage.open(uri)
    assert storage.list("gs://tests/job-1/") == []


def test_create_only_leaves_the_first(storage: GcsStorage, uri: str, large: Path) -> None:
    storage.write(uri, b"first", if_absent=True)
    with pytest.raises(ObjectExists):
        storage.write(uri, b"first", if_absent=True)
    with pytest.raises(ObjectExists):
        storage.upload(large, uri, if_absent=True)
    assert storage.read(uri) == b"first"


def test_one_of_many_threads_creates(storage: GcsStorage, uri: str) -> None:
    together = threading.Barrier(8)

    def create(_: int) -> bool:
        together.wait()
        try:
            storage.write(uri, b"the same", if_absent=True)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create, range(8))).count(True) == 1


def test_requests_share_a_connection(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    for _ in range(5):
        storage.write(uri, b"1")
        storage.read(uri)
    assert gcs.connections == 1
    storage.open(uri).close()  # not read to its end: this connection is of no more use
    storage.read(uri)
    assert gcs.connections == 2


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_fails_for_a_moment_is_repeated(gcs: GcsServer, storage: GcsStorage, uri: str, status: int) -> None:
    for request in ("insert", "download", "list"):
        gcs.fail(request, status=status)
    storage.write(uri, b"1", if_absent=True)
    assert storage.read(uri) == b"1"
    assert storage.list("gs://tests/") == [uri]


def test_the_server_says_when_to_come_back(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    gcs.fail("insert", status=429, retry_after=1)
    started = time.monotonic()
    storage.write(uri, b"1")
    assert time.monotonic() - started >= 1


def test_a_create_whose_answer_was_lost_is_our_own(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    gcs.lose_reply("insert")
    storage.write(uri, b"1", if_absent=True)
    assert gcs.requests["insert"] == 2


def test_the_same_content_of_another_writer_is_not_ours(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    storage.write(uri, b"1")
    gcs.fail("insert")
    with pytest.raises(ObjectExists):
        storage.write(uri, b"1", if_absent=True)


def test_a_large_upload_goes_on_where_it_broke_off(gcs: GcsServer, storage: GcsStorage, uri: str, large: Path) -> None:
    gcs.fail("session")
    gcs.cut("chunk", 5 * MIB)
    gcs.fail("chunk")  # the question how far it came
    gcs.lose_reply("chunk")
    gcs.cut("chunk", 5 * MIB)
    storage.upload(large, uri, if_absent=True)
    assert storage.read(uri) == large.read_bytes()
    assert gcs.requests["session"] == 2


def test_an_upload_whose_last_answer_was_lost_is_done(
    gcs: GcsServer, storage: GcsStorage, uri: str, large: Path
) -> None:
    gcs.lose_reply("chunk")
    storage.upload(large, uri, if_absent=True)
    assert gcs.requests["session"] == 1
    assert gcs.requests["chunk"] == 2


def test_a_forgotten_upload_begins_again(gcs: GcsServer, storage: GcsStorage, uri: str, large: Path) -> None:
    gcs.fail("chunk", status=410)
    storage.upload(large, uri)
    assert gcs.requests["session"] == 2
    assert storage.read(uri) == large.read_bytes()


def test_a_file_that_changes_on_its_way_is_refused(gcs: GcsServer, storage: GcsStorage, uri: str, large: Path) -> None:
    gcs.corrupt("chunk")
    with pytest.raises(GcsError, match="md5Hash"):
        storage.upload(large, uri)
    with pytest.raises(ObjectMissing):
        storage.read(uri)


def test_a_download_that_breaks_off_is_continued(gcs: GcsServer, storage: GcsStorage, uri: str, large: Path) -> None:
    storage.upload(large, uri)
    gcs.cut("download", 3 * MIB, times=2)
    gcs.fail("download")
    with storage.open(uri) as stream:
        assert b"".join(iter(lambda: stream.read(MIB), b"")) == large.read_bytes()
    assert gcs.requests["download"] == 4


def test_what_is_replaced_while_it_is_read_is_not_mixed(
    gcs: GcsServer, storage: GcsStorage, uri: str, large: Path
) -> None:
    storage.upload(large, uri)
    gcs.cut("download", 3 * MIB)
    with storage.open(uri) as stream:
        stream.read(MIB)
        storage.write(uri, b"2" * 20 * MIB)
        with pytest.raises(ObjectMissing):
            stream.read()


def test_changed_bytes_are_noticed_and_asked_for_once_more(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    storage.write(uri, b"content")
    gcs.corrupt("download")
    assert storage.read(uri) == b"content"
    gcs.corrupt("download", times=2)
    with pytest.raises(GcsError, match="CRC-32C"):
        storage.read(uri)


def test_long_listings_come_in_pages(gcs: GcsServer, storage: GcsStorage) -> None:
    gcs.page_limit = 10
    uris = [f"gs://tests/logs/{number:02d}" for number in range(25)]
    for uri in reversed(uris):
        storage.write(uri, b"")
    assert storage.list("gs://tests/logs/") == uris
    assert gcs.requests["list"] == 3


def test_a_missing_bucket_is_not_a_missing_object(storage: GcsStorage) -> None:
    for call in (storage.read, storage.list, lambda uri: storage.write(uri, b"")):
        with pytest.raises(GcsError, match="bucket does not exist"):
            call("gs://elsewhere/a")


def test_a_missing_permission_and_its_role_are_named(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    gcs.faults.denied = {"storage.objects.create"}
    with pytest.raises(GcsError, match=r"storage\.objects\.create.*roles/storage\.objectUser"):
        storage.write(uri, b"")


def test_a_service_that_stays_away_is_an_error_after_a_while(gcs: GcsServer, uri: str) -> None:
    gcs.fail("download", times=100)
    session = Session({"STORAGE_EMULATOR_HOST": gcs.url.partition("//")[2]}, patience=1)
    with pytest.raises(GcsError, match=r"away.*503"):
        GcsStorage(session).read(uri)
    session.close()
    assert gcs.requests["download"] > 1


def test_a_fork_does_not_share_connections(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    storage.write(uri, b"1")
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if [storage.read(uri) for _ in range(50)] == [b"1"] * 50 else 1)
        finally:
            os._exit(2)
    assert [storage.read(uri) for _ in range(50)] == [b"1"] * 50
    assert os.waitpid(pid, 0)[1] == 0
    assert gcs.connections == 2


def test_a_bad_line_is_borne_while_the_upload_gets_on(gcs: GcsServer, uri: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(MIB) * 12)
    session = Session({"STORAGE_EMULATOR_HOST": gcs.url}, patience=0.6)
    gcs.cut("chunk", MIB, times=16)  # every other one is the question how far it came
    GcsStorage(session).upload(path, uri)
    assert GcsStorage(session).read(uri) == path.read_bytes()
    assert gcs.requests["session"] == 1
    session.close()


def test_an_upload_that_does_not_get_on_ends_with_the_patience(gcs: GcsServer, uri: str, large: Path) -> None:
    session = Session({"STORAGE_EMULATOR_HOST": gcs.url}, patience=0.6)
    gcs.cut("chunk", MIB)
    gcs.cut("chunk", 0, times=20)
    with pytest.raises(GcsError, match=f"broke off again and again, last at {MIB} bytes"):
        GcsStorage(session).upload(large, uri)
    session.close()


def test_a_file_that_goes_away_is_no_trouble_of_the_network(session: Session, uri: str) -> None:
    with pytest.raises(GcsError, match="cannot be read"):
        Upload(session, Path("/nowhere"), 1, uri).run({"name": "a"}, {})


def test_no_cache_on_the_way_keeps_what_is_written(gcs: GcsServer, storage: GcsStorage, uri: str) -> None:
    storage.write(uri, b"1", if_absent=True)
    storage.write(uri, b"2")
    found = gcs.buckets["tests"].get("job-1/a", {})
    assert found.resource()["cacheControl"] == "no-store"
    assert gcs.requests == {"insert": 2}
