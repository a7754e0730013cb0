"""Unchanged data is not read again; whatever might have changed is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from data_trees import hash_of, write

from airflow_provider_kinetic.packaging.data_hash import content_hash
from airflow_provider_kinetic.packaging.data_tree import DataFile, DataTree, scan
from airflow_provider_kinetic.packaging.stat_cache import GRANULARITY_NS, StatCache, is_settled, user_folder

MANY = """
import sys
from pathlib import Path
from airflow_provider_kinetic.packaging.data_hash import content_hash
from airflow_provider_kinetic.packaging.data_tree import scan
from airflow_provider_kinetic.packaging.stat_cache import StatCache
for _ in range(20):
    for root in sys.argv[2:]:
        print(content_hash(scan(Path(root)), cache=StatCache(Path(sys.argv[1]))))
"""


@pytest.fixture
def cache(tmp_path: Path) -> StatCache:
    return StatCache(tmp_path / "cache")


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that nobody touched for longer than any clock's tick: change times cannot be set, only awaited."""
    root = tmp_path_factory.mktemp("aged")
    write(root / "old", {"a": b"a", "b/c": b"c", "b/\nd": b""})
    write(root / "to be changed", {"a": b"a", "b": b"b"})
    while not all(is_settled(file, time.time_ns()) for file in scan(root).files):
        time.sleep(0.1)
    return root


@pytest.fixture(scope="module")
def old(aged: Path) -> Path:
    """To be looked at only."""
    return aged / "old"


def reads(tree: DataTree, cache: StatCache) -> bool:
    """Whether a file is opened: one that is gone cannot be."""
    gone = tree._replace(files=tuple(file._replace(path=f"{file.path}.gone") for file in tree.files))
    try:
        content_hash(gone, cache=cache)
    except Exception:
        return True
    return False


def only_file(cache_folder: Path) -> Path:
    (file,) = cache_folder.iterdir()
    return file


def test_unchanged_data_is_not_opened(old: Path, cache: StatCache) -> None:
    first = content_hash(scan(old), cache=cache)
    assert first == hash_of(old)
    assert not reads(scan(old), cache)
    assert content_hash(scan(old), cache=cache) == first


def test_a_single_file_has_its_own_entry(old: Path, cache: StatCache) -> None:
    content_hash(scan(old), cache=cache)
    assert content_hash(scan(old / "a"), cache=cache) == hash_of(old / "a")
    assert not reads(scan(old / "a"), cache)
    assert not reads(scan(old), cache)


def test_what_was_just_written_is_not_trusted(tmp_path: Path, cache: StatCache) -> None:
    """Two writes of one length within a tick look alike: the older digest must not stand for the younger content."""
    root = write(tmp_path / "young", {"a": b"1"})
    content_hash(scan(root), cache=cache)
    assert reads(scan(root), cache)


@pytest.mark.parametrize("time_of_change", ["mtime_ns", "ctime_ns"])
def test_either_time_within_the_granularity_is_too_young(time_of_change: str) -> None:
    read_ns = 10**18
    file = DataFile("a", "/a", 1, mtime_ns=0, ctime_ns=0, inode=1)
    assert is_settled(file, read_ns)
    assert is_settled(file._replace(**{time_of_change: read_ns - GRANULARITY_NS - 1}), read_ns)
    for age in (GRANULARITY_NS, 1, 0, -GRANULARITY_NS):  # also by a clock that is ahead of ours
        assert not is_settled(file._replace(**{time_of_change: read_ns - age}), read_ns)


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_a_file_that_differs_in_anything_is_read(old: Path, cache: StatCache, field: str) -> None:
    tree = scan(old)
    content_hash(tree, cache=cache)
    other = tree.files[0]._replace(**{field: getattr(tree.files[0], field) + 1})
    assert reads(tree._replace(files=(other, *tree.files[1:])), cache)


def test_a_rewrite_that_keeps_size_and_mtime_is_noticed_and_the_other_files_stay_known(
    aged: Path, cache: StatCache
) -> None:
    root = aged / "to be changed"
    before = content_hash(scan(root), cache=cache)
    file, times = root / "a", (root / "a").stat()
    file.write_bytes(b"x")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = content_hash(scan(root), cache=cache)
    assert changed != before
    assert changed == hash_of(root)
    assert set(cache.load(root)) == {"b"}
    file.write_bytes(b"a")
    assert content_hash(scan(root), cache=cache) == before


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def flip(file: Path) -> None:
    text = bytearray(file.read_bytes())
    text[-20] ^= 1
    file.write_bytes(text)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def foreign(file: Path) -> None:
    file.write_bytes(b"\xff\n{}")


def writable_by_all(file: Path) -> None:
    file.chmod(0o666)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [cut, flip, empty, foreign, writable_by_all, a_folder])
def test_what_cannot_be_trusted_is_ignored(
    old: Path, cache: StatCache, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    expected = content_hash(scan(old), cache=cache)
    damage(only_file(tmp_path / "cache"))
    assert cache.load(old) == {}
    assert content_hash(scan(old), cache=cache) == expected


def test_a_cache_of_another_root_is_not_taken(old: Path, cache: StatCache, tmp_path: Path) -> None:
    content_hash(scan(old), cache=cache)
    kept = only_file(tmp_path / "cache")
    content_hash(scan(old / "b"), cache=cache)
    (other,) = set((tmp_path / "cache").iterdir()) - {kept}
    kept.replace(other)
    assert cache.load(old / "b") == {}


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(old: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert content_hash(scan(old), cache=StatCache(tmp_path / "file" / "below")) == hash_of(old)


def test_nobody_else_may_read_the_cache(old: Path, cache: StatCache, tmp_path: Path) -> None:
    content_hash(scan(old), cache=cache)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert only_file(tmp_path / "cache").stat().st_mode & 0o777 == 0o600


def test_processes_do_not_disturb_one_another(old: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY, str(tmp_path / "cache"), str(old), str(old / "b")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    lines = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert lines == [[hash_of(old), hash_of(old / "b")] * 20] * 4
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} == {".json"}


def test_the_cache_does_not_grow_for_ever(old: Path, cache: StatCache, tmp_path: Path) -> None:
    for number in range(300):
        write(tmp_path / "cache", {f"{number}.json": b"of a root that is gone"})
        os.utime(tmp_path / "cache" / f"{number}.json", (number, number))
    content_hash(scan(old), cache=cache)
    names = {file.name for file in (tmp_path / "cache").iterdir()}
    assert len(names) == 256
    assert "299.json" in names
    assert "0.json" not in names
    assert cache.load(old)


def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert user_folder() == tmp_path / ".cache" / "airflow-provider-kinetic" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_folder() == tmp_path / ".cache" / "airflow-provider-kinetic" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/user")
    assert user_folder() == Path("/var/cache/user/airflow-provider-kinetic/data")
