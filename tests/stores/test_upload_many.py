"""Many files in one call: what every store promises, whoever else is at it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from data_trees import sparse, write

from airflow_provider_kinetic.model.errors import ConfigurationError, InfrastructureError
from airflow_provider_kinetic.packaging.data_tree import DataFile, scan
from airflow_provider_kinetic.stores.base import Store

MIB = 1 << 20
SIZES = {"empty": 0, "small": 5, "block": 256 * 1024, "whole": 3 * MIB, "large": 5 * MIB + 1, "even": 6 * MIB}
"""On both sides of every limit of the client for Cloud Storage."""

Files = list[tuple[DataFile, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "data", {name: os.urandom(size) for name, size in SIZES.items()})


@pytest.fixture
def files(folder: Path, root: str) -> Files:
    return [(file, f"{root}/data/{file.relative}") for file in scan(folder).files]


def stored(store: Store, root: str) -> dict[str, bytes]:
    place = f"{root}/data/"
    return {info.uri.removeprefix(place): store.read(info.uri) for info in store.list(place)}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_becomes_an_object(store: Store, root: str, files: Files, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    assert store.upload_many(iter(files), report=lambda *done: told.append(done)) == len(SIZES)
    assert stored(store, root) == content(folder)
    assert told[-1] == (len(SIZES), sum(SIZES.values()))


def test_no_files_at_all(store: Store) -> None:
    assert store.upload_many([]) == 0


def test_the_files_stay_the_users(store: Store, root: str, files: Files, folder: Path) -> None:
    store.upload_many(files)
    with (folder / "small").open("r+b") as stream:
        stream.write(b"XXXXX")
    assert store.read(f"{root}/data/small") != b"XXXXX"


def test_any_name_can_be_sent(store: Store, root: str, uri_of: Callable[[str], str], tmp_path: Path) -> None:
    names = ["with space", "ünï/cödé 試", "hash#tag", "what?", "a?b=c#d", "100%", "a%20b", "+~'&"]
    tree = scan(write(tmp_path / "names", {name: name.encode() for name in names}))
    store.upload_many([(file, uri_of(file.relative)) for file in tree.files])
    assert {name: store.read(uri_of(name)) for name in names} == {name: name.encode() for name in names}
    assert len(store.list(f"{root}/")) == len(names)


def test_what_is_there_is_not_sent_again(store: Store, root: str, files: Files) -> None:
    store.upload_many(files[:4])
    there = {info.uri: info for info in store.list(f"{root}/data/")}
    assert store.upload_many(files, there=there) == len(SIZES) - 4
    before = {uri: store.stat(uri) for _, uri in files}
    there = {info.uri: info for info in store.list(f"{root}/data/")}
    assert store.upload_many(files, there=there) == 0
    assert {uri: store.stat(uri) for _, uri in files} == before


def test_half_an_object_is_replaced(store: Store, root: str, files: Files, folder: Path) -> None:
    for name in ("small", "large"):
        store.write(f"{root}/data/{name}", b"half")
    store.upload_many(files, there={info.uri: info for info in store.list(f"{root}/data/")})
    assert stored(store, root) == content(folder)


def test_an_object_of_another_uploader_is_left_alone(store: Store, root: str, files: Files, folder: Path) -> None:
    store.upload_many(files)
    before = {uri: store.stat(uri) for _, uri in files}
    store.upload_many(files)  # listed nothing: the other one was faster
    assert [info.created for info in before.values() if info] == [
        info.created for uri in before if (info := store.stat(uri))
    ]
    assert stored(store, root) == content(folder)


def test_two_uploaders_at_once(store: Store, root: str, files: Files, folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: store.upload_many(files), range(2)))
    assert stored(store, root) == content(folder)


@pytest.mark.parametrize("name", ["small", "whole", "large"])
def test_a_file_that_has_changed_becomes_no_object(
    store: Store, root: str, files: Files, folder: Path, name: str
) -> None:
    with (folder / name).open("r+b") as stream:
        stream.write(b"other")
    os.utime(folder / name, (1, 1))
    with pytest.raises(InfrastructureError, match=f"{name}' changed while it was read"):
        store.upload_many(files)
    assert store.stat(f"{root}/data/{name}") is None


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_file_that_went_away_or_shrank(store: Store, files: Files, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(InfrastructureError, match=f"{name}' changed"):
        store.upload_many(files)
    (folder / name).unlink()
    with pytest.raises(InfrastructureError, match=f"{name}' changed"):
        store.upload_many(files)


def test_a_uri_of_another_scheme_is_refused(store: Store, files: Files) -> None:
    with pytest.raises(ConfigurationError, match="ftp://host/object"):
        store.upload_many([(files[0][0], "ftp://host/object")])


def test_memory_does_not_grow_with_the_files(store: Store, root: str, tmp_path: Path) -> None:
    for number in range(2):
        sparse(tmp_path / f"{number}", 48 * MIB)
    files = [(file, f"{root}/data/{file.relative}") for file in scan(tmp_path).files if file.size]
    tracemalloc.start()
    try:
        store.upload_many(files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB
    assert [info.size for info in store.list(f"{root}/data/")] == [48 * MIB] * 2


def test_a_listing_ends_where_asked(store: Store, root: str) -> None:
    uris = sorted(f"{root}/{name}" for name in ("a", "b/1", "b/2", "c"))
    for uri in uris:
        store.write(uri, b"")
    assert [info.uri for info in store.list(f"{root}/", limit=1)] == uris[:1]
    assert [info.uri for info in store.list(f"{root}/", after=uris[1], limit=1)] == uris[2:3]
    assert [info.uri for info in store.list(f"{root}/", limit=9)] == uris


def test_a_copy_onto_itself_is_new(store: Store, root: str) -> None:
    store.write(f"{root}/a", b"1")
    before = store.stat(f"{root}/a")
    store.copy(f"{root}/a", f"{root}/a")
    after = store.stat(f"{root}/a")
    assert before is not None
    assert after is not None
    assert after.created > before.created
    assert store.read(f"{root}/a") == b"1"


def test_an_empty_folder_can_be_kept(store: Store, root: str) -> None:
    assert store.stat(f"{root}/folder/") is None
    store.write(f"{root}/folder/", b"")
    store.write(f"{root}/folder/", b"")
    info = store.stat(f"{root}/folder/")
    assert info is not None
    assert info.size == 0
