"""The hash of the contract: its test vectors, and the rules between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_trees import hash_of, sparse, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_kinetic.model.errors import InfrastructureError
from airflow_provider_kinetic.packaging.data_hash import CHUNK, HashProgress, content_hash
from airflow_provider_kinetic.packaging.data_tree import scan
from airflow_provider_kinetic.packaging.hash_process import HashProcess


def by_the_contract(root: Path) -> str:
    """Contract 11.2 word for word, for trees without links."""

    def digests(folder: Path) -> Iterator[bytes]:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        for file in (entry for entry in entries if entry.is_file()):
            yield hashlib.sha256(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes()).digest()
        for inner in (entry for entry in entries if entry.is_dir()):
            yield from digests(inner)

    return hashlib.sha256(b"dir:" + b"".join(digests(root))).hexdigest()


class TestVectors:
    """Equal in every released client of upstream (contract 11.2)."""

    def test_a_file(self, hello: Path) -> None:
        assert hash_of(hello / "hello.txt") == "565d06b849b37d8a24aae0d602e9b6d12ea51d00864b40ebd026752c90673939"

    def test_a_folder_with_only_that_file(self, hello: Path) -> None:
        assert hash_of(hello) == "b77375e7355582979783e5ee6570af7ba506d76b7fdd2f0fe5fde59551b7cbd3"

    def test_a_tree(self, tree: Path) -> None:
        assert hash_of(tree) == "a1f69ac687fa03aa1561e1ec75b1275f277dcd2db3fa57241b10cc82c5b6fc71"
        assert [file.relative for file in scan(tree).files] == ["a.txt", "b.txt", "a/z.bin", "a/inner/k"]

    def test_a_tree_with_links(self, tree: Path, hello: Path) -> None:
        (tree / "linkdir").symlink_to(hello, target_is_directory=True)
        (tree / "zlink.txt").symlink_to(hello / "hello.txt")
        assert hash_of(tree) == "b26d7dc295608401579362691acf80c0d6a9bdbe62d2ebf731d8d02a205d2e89"
        assert scan(tree).ignored_links == ("linkdir",)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        assert hash_of(tmp_path) == "9d1ae5a6cdbe837d499a16cb32234ea2d953c60e8e8fdc88f84a3bbe2d629143"

    def test_twenty_files(self, tmp_path: Path) -> None:
        write(tmp_path, {f"f{number:02}.txt": str(number).encode() for number in range(20)})
        assert hash_of(tmp_path) == "6b77b9b81c459db434360ea7a2d2830a424f3f89409a34d604705a8ee4d717d9"

    def test_names_beyond_ascii(self, tmp_path: Path) -> None:
        write(tmp_path, {"\N{LATIN SMALL LETTER E WITH ACUTE}.txt": b"x", "e.txt": b"y"})
        assert hash_of(tmp_path) == "ee303896f1c4c0bd6ddbf27a3099e6525b20476f3b9409bd1b031c0781b498f3"


NAMES = st.text("ab.-_ \n\N{LATIN SMALL LETTER E WITH ACUTE}\N{BEER MUG}", min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.binary(max_size=20), st.sampled_from([1, 1, 1, CHUNK])),
        max_size=30,
    )
)
def test_any_tree_has_the_hash_of_the_contract(
    files: list[tuple[list[str], bytes, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for parts, content, times in files:
        path = root.joinpath(*parts)
        if not path.exists() and all(not parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content * times)
    assert hash_of(root) == by_the_contract(root)


def test_a_file_and_a_folder_with_only_that_file_differ(hello: Path) -> None:
    assert hash_of(hello / "hello.txt") != hash_of(hello)


def test_modes_times_and_empty_folders_do_not_count(tree: Path) -> None:
    before = hash_of(tree)
    (tree / "b.txt").chmod(0o600)
    os.utime(tree / "b.txt", (1, 1))
    (tree / "another empty").mkdir()
    assert hash_of(tree) == before


def test_empty_folders_are_known_so_that_they_survive(tree: Path, tmp_path: Path) -> None:
    (tree / "empty" / "er").mkdir()
    (tmp_path / "bare").mkdir()
    assert scan(tree).empty_folders == ("empty/er",)
    assert scan(tmp_path / "bare").empty_folders == ("",)


def test_a_link_as_the_path_itself_is_followed_and_names_the_file(hello: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").symlink_to(hello, target_is_directory=True)
    (tmp_path / "other.txt").symlink_to(hello / "hello.txt")
    assert hash_of(tmp_path / "folder") == hash_of(hello)
    assert [file.relative for file in scan(tmp_path / "other.txt").files] == ["other.txt"]
    assert hash_of(tmp_path / "other.txt") != hash_of(hello / "hello.txt")


def test_links_in_a_circle_end(tree: Path) -> None:
    before = hash_of(tree)
    (tree / "a" / "up").symlink_to(tree, target_is_directory=True)
    assert hash_of(tree) == before


def test_a_file_of_many_chunks(tmp_path: Path) -> None:
    content = os.urandom(3 * CHUNK + 1)
    write(tmp_path, {"large": content, "exact": content[:CHUNK], "small": b"s"})
    assert hash_of(tmp_path) == by_the_contract(tmp_path)


@pytest.mark.faults
def test_a_hundred_thousand_files(tmp_path: Path) -> None:
    for folder in range(100):
        seed = write(tmp_path / f"{folder}", {"0": b"x"}) / "0"
        for number in range(1, 1000):
            os.link(seed, tmp_path / f"{folder}" / f"{number}")
    names = sorted(f"{folder}/{number}".split("/") for folder in range(100) for number in range(1000))
    tree = scan(tmp_path)
    assert [file.relative.split("/") for file in tree.files] == names
    digests = (hashlib.sha256(f"{folder}/{name}\0x".encode()).digest() for folder, name in names)
    assert content_hash(tree) == hashlib.sha256(b"dir:" + b"".join(digests)).hexdigest()


def test_progress_is_told_and_never_goes_back(tmp_path: Path) -> None:
    size = 256 * 1024 * 1024
    for name in ("one", "two"):
        sparse(tmp_path / name, size)
    told: list[HashProgress] = []
    content_hash(scan(tmp_path), report=told.append, every=0)
    assert told
    assert [progress.bytes for progress in told] == sorted(progress.bytes for progress in told)
    assert {(progress.total_files, progress.total_bytes) for progress in told} == {(2, 2 * size)}


def test_a_report_that_raises_ends_the_reading(tmp_path: Path) -> None:
    """So does a task that is killed: Airflow raises in the thread that waits."""

    def killed(_: HashProgress) -> None:
        raise KeyboardInterrupt

    sparse(tmp_path / "endless", 2**43)  # hours
    with pytest.raises(KeyboardInterrupt):
        content_hash(scan(tmp_path), report=killed, every=0)


class TestManySmallFiles:
    """So many that processes of their own read a part of them."""

    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        sizes = [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, CHUNK - 1]
        root = write(tmp_path / "many", {f"seeds/{size}\n\N{BEER MUG}": os.urandom(size) for size in sizes})
        seeds = sorted((root / "seeds").iterdir())
        (root / "links").mkdir()
        for number in range(9000):
            os.link(seeds[number % 4], root / "links" / f"{number}")
        return root

    def test_they_have_the_hash_of_the_contract(self, many: Path) -> None:
        assert hash_of(many) == by_the_contract(many)

    @pytest.mark.parametrize("python", ["/absent", "/bin/false"])
    def test_they_have_it_where_no_process_can_be_had(
        self, many: Path, python: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = hash_of(many)
        monkeypatch.setattr("sys.executable", python)
        assert hash_of(many) == expected

    @pytest.mark.parametrize("number", [0, 3000, 8999])
    def test_one_that_has_changed_is_named(self, many: Path, number: int) -> None:
        listed = scan(many)
        changed = many / "links" / f"{number}"
        changed.unlink()
        changed.write_bytes(b"other")
        with pytest.raises(InfrastructureError, match=f"links/{number}' changed while it was read"):
            content_hash(listed)


def test_a_process_tells_what_it_read_and_what_it_could_not(hello: Path) -> None:
    with HashProcess(str(hello)) as process:
        (first, second) = process.rows(["hello.txt", "absent"])
        assert first[0] == hashlib.sha256(b"hello.txt\0hello\n").digest()
        assert first[1:] == scan(hello).files[0].version
        assert second[1] == -1
        assert process.seconds > 0
        assert len(list(process.rows(["hello.txt"]))) == 1
