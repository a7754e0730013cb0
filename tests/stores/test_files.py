"""What is true of objects that are files."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_kinetic.job.storage import FileStorage, path_to_uri, uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreError
from airflow_provider_kinetic.stores.local import LocalStore

CHUNKS = 5000


@pytest.fixture
def kind() -> str:
    return "local"


@pytest.fixture
def store() -> LocalStore:
    return LocalStore()


def test_the_job_sees_what_airflow_wrote_and_the_other_way_round(store: LocalStore, root: str) -> None:
    job = FileStorage()
    store.write(f"{root}/in", b"1")
    job.write(f"{root}/out", b"2")
    assert job.read(f"{root}/in") == b"1"
    assert store.read(f"{root}/out") == b"2"
    assert job.list(f"{root}/") == [info.uri for info in store.list(f"{root}/")] == [f"{root}/in", f"{root}/out"]


@pytest.mark.parametrize("call", ["write", "upload", "create", "copy"])
def test_an_unwritable_store_says_where_and_why(store: LocalStore, tmp_path: Path, call: str) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    uri = path_to_uri(tmp_path / "file" / "sub" / "payload.pkl")
    calls = {
        "write": lambda: store.write(uri, b""),
        "upload": lambda: store.upload(source, uri),
        "create": lambda: store.write(uri, b"", if_absent=True),
        "copy": lambda: store.copy(path_to_uri(source), uri),
    }
    with pytest.raises(StoreError) as caught:
        calls[call]()
    assert str(tmp_path / "file" / "sub") in caught.value.summary
    assert "Not a directory" in caught.value.summary
    assert "output_root" in caught.value.advice


def test_a_write_that_does_not_fit_leaves_nothing(tmp_path: Path, root: str) -> None:
    script = (
        "import resource, signal, sys\n"
        "from airflow_provider_kinetic.model.errors import StoreError\n"
        "from airflow_provider_kinetic.stores.local import LocalStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    LocalStore().write(sys.argv[1], b'x' * 100_000)\n"
        "except StoreError as error:\n"
        "    print(error.summary)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, f"{root}/big"], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert f"{root}/big" in done.stdout
    assert list((tmp_path / "objects").iterdir()) == []


def test_an_unreadable_place_is_an_error_and_not_missing(store: LocalStore, tmp_path: Path) -> None:
    name = "n" * 300
    with pytest.raises(StoreError, match="File name too long"):
        store.read(path_to_uri(tmp_path / name))
    with pytest.raises(StoreError) as caught:
        store.write(path_to_uri(tmp_path / name), b"")
    assert "shorter" in caught.value.advice


def test_an_upload_copies_no_byte_on_one_file_system(store: LocalStore, root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    store.upload(source, f"{root}/a")
    assert uri_to_path(f"{root}/a").samefile(source)
    store.upload(source, f"{root}/a")
    assert store.read(f"{root}/a") == b"x"


def test_an_uploaded_link_becomes_the_file_behind_it(store: LocalStore, root: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    store.upload(tmp_path / "link", f"{root}/deep/a")
    (tmp_path / "real").unlink()
    assert store.read(f"{root}/deep/a") == b"content"
    assert not uri_to_path(f"{root}/deep/a").is_symlink()


def test_a_missing_source_is_an_error_that_names_it(store: LocalStore, root: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.bin"):
        store.upload(tmp_path / "gone.bin", f"{root}/a")
    assert store.list(f"{root}/") == []


def test_half_written_files_are_shown_to_nobody_and_go_with_their_prefix(store: LocalStore, root: str) -> None:
    store.write(f"{root}/job/a", b"")
    (uri_to_path(root) / "job" / ".kinetic-tmp-abc").write_bytes(b"half")
    assert [info.uri for info in store.list(f"{root}/")] == [f"{root}/job/a"]
    assert store.delete_prefix(f"{root}/job/") == 1
    assert not (uri_to_path(root) / "job").exists()


def test_deletion_takes_empty_folders_and_leaves_others(store: LocalStore, root: str) -> None:
    for name in ("job-1/a/b/c", "job-1/a/d", "job-2/x"):
        store.write(f"{root}/{name}", b"")
    store.delete_prefix(f"{root}/job-1/")
    assert [path.name for path in uri_to_path(root).iterdir()] == ["job-2"]


def test_links_to_folders_are_not_followed(store: LocalStore, root: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_bytes(b"")
    store.write(f"{root}/job/a", b"")
    (uri_to_path(root) / "job" / "link").symlink_to(precious)
    assert store.delete_prefix(f"{root}/job/") == 1
    assert (precious / "data").exists()


@pytest.mark.parametrize("prefix", ["file:///", "file:///home/", "file:///h", "file://"])
def test_the_whole_machine_is_never_deleted(store: LocalStore, prefix: str) -> None:
    with pytest.raises(ConfigurationError):
        store.delete_prefix(prefix)


def test_a_uri_that_was_not_quoted_means_its_text(store: LocalStore, tmp_path: Path) -> None:
    folder = f"file://{tmp_path}/my outputs"
    store.write(f"{folder}/what? #1", b"x")
    assert (tmp_path / "my outputs" / "what? #1").read_bytes() == b"x"
    (info,) = store.list(f"{folder}/")
    assert info.uri.startswith(f"{folder}/")
    assert store.read(info.uri) == b"x"


def test_a_file_of_another_machine_is_refused(store: LocalStore) -> None:
    with pytest.raises(ConfigurationError, match="file://server/share"):
        store.read("file://server/share/object")


def test_polling_a_long_log_is_cheap(store: LocalStore, root: str) -> None:
    logs = uri_to_path(root) / "logs"
    logs.mkdir(parents=True)
    for number in range(CHUNKS):
        (logs / f"0001-{number:08d}.log").touch()
    after = f"{root}/logs/0001-{CHUNKS - 3:08d}.log"
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        found = store.list(f"{root}/logs/", after=after)
        durations.append(time.perf_counter() - started)
    assert [info.uri[-12:] for info in found] == ["00004998.log", "00004999.log"]
    assert min(durations) < 0.1
