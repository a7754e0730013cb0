"""What every store promises for one caller at a time."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.stores.base import ObjectExists, ObjectMissing, Store

MIB = 1 << 20


def test_an_object_reads_as_it_was_written(store: Store, root: str) -> None:
    store.write(f"{root}/job-1/payload.pkl", b"\0one\n")
    assert store.read(f"{root}/job-1/payload.pkl") == b"\0one\n"


def test_a_second_write_replaces_the_first(store: Store, root: str) -> None:
    store.write(f"{root}/a", b"a longer text")
    store.write(f"{root}/a", b"short")
    assert store.read(f"{root}/a") == b"short"


def test_empty_objects_are_objects(store: Store, root: str) -> None:
    store.write(f"{root}/empty", b"")
    assert store.read(f"{root}/empty") == b""
    assert [(info.uri, info.size) for info in store.list(f"{root}/")] == [(f"{root}/empty", 0)]


def test_stat_gives_size_and_time(store: Store, root: str) -> None:
    before = time.time() - 2
    store.write(f"{root}/a", b"12345")
    info = store.stat(f"{root}/a")
    assert info is not None
    assert (info.uri, info.size) == (f"{root}/a", 5)
    assert before < info.updated < time.time() + 2


def test_an_uploaded_file_is_as_new_as_its_upload(store: Store, root: str, tmp_path: Path) -> None:
    source = tmp_path / "old"
    source.write_bytes(b"x")
    os.utime(source, (1e9, 1e9))
    store.upload(source, f"{root}/old")
    info = store.stat(f"{root}/old")
    assert info is not None
    assert info.updated > time.time() - 60


def test_what_is_not_there_is_missing(store: Store, root: str, tmp_path: Path) -> None:
    store.write(f"{root}/folder/a", b"")
    for uri in (f"{root}/nothing", f"{root}/folder", f"{root}/folder/a/below"):
        with pytest.raises(ObjectMissing):
            store.read(uri)
        with pytest.raises(ObjectMissing):
            store.download(uri, tmp_path / "target")
        with pytest.raises(ObjectMissing):
            store.copy(uri, f"{root}/copy")
        assert store.stat(uri) is None
        store.delete(uri)
    assert store.list(f"{root}/nowhere/") == []
    assert store.delete_prefix(f"{root}/nowhere/") == 0
    assert store.read(f"{root}/folder/a") == b""


def test_create_only_leaves_the_first(store: Store, root: str, tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(b"second")
    store.write(f"{root}/a", b"first", if_absent=True)
    with pytest.raises(ObjectExists):
        store.write(f"{root}/a", b"second", if_absent=True)
    with pytest.raises(ObjectExists):
        store.upload(tmp_path / "second", f"{root}/a", if_absent=True)
    assert store.read(f"{root}/a") == b"first"


def test_a_listing_is_in_uri_order_and_goes_down(store: Store, root: str) -> None:
    names = ["a/b/c", "a-b", "a.b", "a/b-c", "a0", "B", "a/b.c"]
    for name in names:
        store.write(f"{root}/{name}", b"")
    assert [info.uri for info in store.list(f"{root}/")] == sorted(f"{root}/{name}" for name in names)


def test_a_prefix_may_end_within_a_name(store: Store, root: str) -> None:
    for name in ("log/0001-1", "log/0001-2", "log/0002-1", "log/0001-dir/x"):
        store.write(f"{root}/{name}", b"")
    listed = [info.uri for info in store.list(f"{root}/log/0001-")]
    assert listed == [f"{root}/log/0001-1", f"{root}/log/0001-2", f"{root}/log/0001-dir/x"]


@pytest.mark.parametrize("cut", range(7))
def test_a_listing_goes_on_after_a_uri(store: Store, root: str, cut: int) -> None:
    uris = sorted(f"{root}/{name}" for name in ("a/1", "a/2", "a-b", "b/1/x", "b/1.x", "c"))
    for uri in uris:
        store.write(uri, b"")
    after = uris[cut - 1] if cut else ""
    assert [info.uri for info in store.list(f"{root}/", after=after)] == uris[cut:]
    assert [info.uri for info in store.list(f"{root}/", after=after, before=uris[-1])] == uris[cut:-1]


@pytest.mark.parametrize("name", ["with space", "ünï/cödé 試", "hash#tag", "what?", "a?b=c#d", "100%", "a%20b", "+~'&"])
def test_any_name_can_be_kept_and_found(store: Store, root: str, uri_of: Callable[[str], str], name: str) -> None:
    uri = uri_of(name)
    store.write(uri, name.encode())
    store.write(uri_of("other"), b"")
    assert uri in [info.uri for info in store.list(f"{root}/")]
    assert [info.uri for info in store.list(uri)] == [uri]
    assert store.read(uri) == name.encode()
    assert store.delete_prefix(uri) == 1
    assert store.stat(uri) is None


def test_a_copy_is_an_object_of_its_own(store: Store, root: str) -> None:
    store.write(f"{root}/job/result.pkl", b"value")
    store.copy(f"{root}/job/result.pkl", f"{root}/kept/result.pkl")
    store.write(f"{root}/job/result.pkl", b"changed")
    assert store.delete_prefix(f"{root}/job/") == 1
    assert store.read(f"{root}/kept/result.pkl") == b"value"


def test_a_prefix_is_deleted_and_its_neighbours_stay(store: Store, root: str) -> None:
    for name in ("job-1/a", "job-1/b/c", "job-12/a", "job"):
        store.write(f"{root}/{name}", b"")
    assert store.delete_prefix(f"{root}/job-1/") == 2
    assert [info.uri for info in store.list(f"{root}/")] == [f"{root}/job", f"{root}/job-12/a"]
    assert store.delete_prefix(f"{root}/job-1/") == 0


def test_a_deleted_object_can_be_created_again(store: Store, root: str) -> None:
    store.write(f"{root}/a/b", b"1", if_absent=True)
    store.delete(f"{root}/a/b")
    store.delete(f"{root}/a/b")
    store.write(f"{root}/a/b", b"2", if_absent=True)
    assert store.read(f"{root}/a/b") == b"2"


def test_large_files_pass_through_in_pieces(store: Store, root: str, tmp_path: Path) -> None:
    source, target = tmp_path / "large", tmp_path / "back"
    with source.open("wb") as stream:
        for piece in range(64):
            stream.write(bytes([piece]) * MIB)
    tracemalloc.start()
    try:
        store.upload(source, f"{root}/large")
        store.copy(f"{root}/large", f"{root}/copy")
        store.download(f"{root}/copy", target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB
    assert target.stat().st_size == 64 * MIB
    with target.open("rb") as stream:
        assert [stream.read(MIB)[:1] for _ in range(64)] == [bytes([piece]) for piece in range(64)]


def test_a_uri_of_another_scheme_is_refused(store: Store, tmp_path: Path) -> None:
    uri = "ftp://host/object"
    calls: list[Callable[[], object]] = [
        lambda: store.read(uri),
        lambda: store.write(uri, b""),
        lambda: store.upload(tmp_path / "x", uri),
        lambda: store.download(uri, tmp_path / "y"),
        lambda: store.stat(uri),
        lambda: store.list(uri),
        lambda: store.copy(uri, uri),
        lambda: store.delete(uri),
        lambda: store.delete_prefix(uri),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="ftp://host/object"):
            call()


def test_time_is_that_of_the_objects(store: Store, uri_of: Callable[[str], str]) -> None:
    uri = uri_of("object")
    store.write(uri, b"")
    info = store.stat(uri)
    assert info is not None
    assert info.updated - 1 <= store.now(uri) < info.updated + 30
