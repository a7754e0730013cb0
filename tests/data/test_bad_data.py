"""What cannot be sent is refused before a byte is, by its name and with the way out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from data_trees import hash_of, sparse, write

from airflow_provider_kinetic.model.errors import ConfigurationError, InfrastructureError
from airflow_provider_kinetic.packaging.data_hash import HashProgress, content_hash
from airflow_provider_kinetic.packaging.data_tree import scan

NOBODY = 65534
AS_NOBODY = f"""
import os, sys
from pathlib import Path
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.packaging.data_hash import content_hash
from airflow_provider_kinetic.packaging.data_tree import scan
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
try:
    content_hash(scan(Path("shared")))
except ConfigurationError as error:
    print(error)
"""


def error_without_rights(folder: Path) -> str:
    """What a user hears who is not root, who may read everything."""
    folder.chmod(0o755)
    command = [sys.executable, "-c", AS_NOBODY, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_path_that_is_missing_names_the_worker(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent does not exist on the worker") as caught:
        scan(tmp_path / "absent")
    assert socket.gethostname() in caught.value.summary
    assert "gs://" in caught.value.advice


def test_a_path_through_a_file(hello: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        scan(hello / "hello.txt" / "below")


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("absent")
    with pytest.raises(ConfigurationError, match="is a link to nothing"):
        scan(tmp_path / "link")


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_may_not_be_read_is_named_with_the_user_of_the_worker(tmp_path: Path, locked: str) -> None:
    root = write(tmp_path / "shared", {"file": b"", "folder/file": b""})
    (root / locked).chmod(0)
    text = error_without_rights(tmp_path)
    (root / locked).chmod(0o700)
    assert f"'shared/{locked}' may not be read by the worker {socket.gethostname()}" in text
    assert f"user {NOBODY if os.geteuid() == 0 else os.geteuid()}" in text


def test_sockets_pipes_and_broken_links_are_named_together(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a/sock")
    os.mkfifo(tree / "pipe")
    (tree / "broken").symlink_to("absent")
    (tree / "loop").symlink_to("loop")
    with pytest.raises(ConfigurationError, match="holds what cannot be sent") as caught:
        scan(tree)
    assert "'a/sock' is a socket" in caught.value.summary
    assert "'pipe' is a pipe" in caught.value.summary
    assert "'broken' is a broken link (No such file or directory)" in caught.value.summary
    assert "'loop' is a broken link (Too many levels of symbolic links)" in caught.value.summary


def test_of_many_bad_entries_a_few_are_named(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number:04}").symlink_to("absent")
    with pytest.raises(ConfigurationError, match=r"'0000' is a broken link.*; and 995 more"):
        scan(tmp_path)


def test_a_pipe_as_the_path_itself(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="is a pipe, neither a file nor a folder"):
        scan(tmp_path / "pipe")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    bad = os.fsencode(folder) + b"/\xff"
    Path(os.fsdecode(bad)).touch()
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        scan(folder)
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        scan(Path(os.fsdecode(bad)))


def test_names_with_a_newline_or_beyond_ascii_are_names(tmp_path: Path) -> None:
    write(tmp_path, {"a\nb": b"1", "\N{BEER MUG}": b"2"})
    assert [file.relative for file in scan(tmp_path).files] == ["a\nb", "\N{BEER MUG}"]


def test_no_bytes_at_all(tmp_path: Path) -> None:
    assert hash_of(write(tmp_path, {"empty": b""}) / "empty") != hash_of(tmp_path)


class TestChangingWhileRead:
    def test_a_file_that_was_rewritten_after_the_scan(self, tree: Path) -> None:
        listed = scan(tree)
        (tree / "a" / "z.bin").write_bytes(b"other")
        with pytest.raises(InfrastructureError, match=r"z\.bin' changed while it was read") as caught:
            content_hash(listed)
        assert "rename" in caught.value.advice

    def test_a_file_of_the_same_size_that_took_its_place(self, tree: Path) -> None:
        listed = scan(tree)
        old = (tree / "b.txt").stat()
        write(tree.parent, {"new": b"C"})
        os.utime(tree.parent / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
        (tree.parent / "new").replace(tree / "b.txt")
        with pytest.raises(InfrastructureError, match=r"b\.txt' changed"):
            content_hash(listed)

    def test_a_file_that_went_away(self, tree: Path) -> None:
        listed = scan(tree)
        (tree / "b.txt").unlink()
        with pytest.raises(InfrastructureError, match=r"b\.txt' changed"):
            content_hash(listed)

    def test_a_file_that_came(self, tree: Path) -> None:
        listed = scan(tree)
        write(tree, {"a/inner/new": b""})
        with pytest.raises(InfrastructureError, match="T' changed"):
            content_hash(listed)

    def test_a_file_that_grows_under_the_reader(self, tmp_path: Path) -> None:
        log = sparse(tmp_path / "log", 256 * 1024 * 1024)

        def grow(_: HashProgress) -> None:
            with log.open("ab") as stream:
                stream.write(b"x")

        with pytest.raises(InfrastructureError, match="log' changed"):
            content_hash(scan(tmp_path), report=grow, every=0)

    def test_a_file_that_becomes_a_pipe_does_not_hang(self, tree: Path) -> None:
        listed = scan(tree)
        (tree / "b.txt").unlink()
        os.mkfifo(tree / "b.txt")
        with pytest.raises(InfrastructureError, match=r"b\.txt'"):
            content_hash(listed)

    def test_a_temporary_file_that_came_and_went_changes_nothing(self, tree: Path) -> None:
        expected = hash_of(tree)
        listed = scan(tree)
        write(tree, {".swap": b""})
        (tree / ".swap").unlink()
        assert content_hash(listed) == expected

    def test_another_name_for_a_file_changes_nothing(self, tree: Path) -> None:
        """Backups make hard links; the change time moves, the content does not."""
        expected = hash_of(tree)
        listed = scan(tree)
        os.link(tree / "b.txt", tree.parent / "backup")
        assert content_hash(listed) == expected
