"""Data in Cloud Storage becomes files: all of it, verified, continued where it broke off, and never half a file."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gcs_objects import Content
from gcs_server import GcsServer
from interpreters import interpreters

from airflow_provider_kinetic.job import fetch, progress
from airflow_provider_kinetic.job.data import DataFolder
from airflow_provider_kinetic.job.gcs import GcsStorage
from airflow_provider_kinetic.job.references import EMPTY_FOLDER, DataReference
from airflow_provider_kinetic.packaging import runner_bundle

BASE = "gs://tests/default/data-cache"
UPLOADED = f"{BASE}/{'1' * 64}"
LARGE = os.urandom(3 << 20)
FILES = {"b.txt": b"B", "a/z.bin": bytes(range(256)), "a.txt": b"", "ü?#%20 &+.txt": b"odd", "large": LARGE}

Resolve = Callable[[DataReference], Path]
Put = Callable[[str, dict[str, bytes]], None]


@pytest.fixture
def put(storage: GcsStorage) -> Put:
    def put(folder: str, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            storage.write(f"{folder}/{name}", content)

    return put


@pytest.fixture
def resolve(storage: GcsStorage, tmp_path: Path) -> Resolve:
    """One argument of a call; asked again, it is the next attempt in the same folder."""

    def resolve(reference: DataReference) -> Path:
        places = DataFolder(tmp_path / "data", tmp_path / "workspace", storage=lambda _: storage)
        (path,), _ = places.arguments((reference.to_wire(),), {})
        return Path(path)

    return resolve


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestWhatArrives:
    def test_a_prefix_in_pages_with_empty_folders(self, resolve: Resolve, put: Put, gcs: GcsServer) -> None:
        put(UPLOADED, {**FILES, "empty/": b"", "a/deep/empty/": b"", "/"[1:]: b""})
        gcs.page_limit = 2
        folder = resolve(DataReference(UPLOADED, is_dir=True))
        assert files_in(folder) == FILES
        assert (folder / "empty").is_dir()
        assert (folder / "a" / "deep" / "empty").is_dir()

    @pytest.mark.parametrize("uri", ["gs://tests/", "gs://tests/digits/", "gs://tests/digits"])
    def test_a_prefix_of_the_users_with_and_without_its_slash(self, resolve: Resolve, put: Put, uri: str) -> None:
        put("gs://tests/digits", FILES)
        put("gs://tests/digits-2", {"x": b"x"})
        found = files_in(resolve(DataReference(uri, is_dir=uri.endswith("/"))))
        assert (
            found == FILES if "digits" in uri else set(found) == {f"digits/{name}" for name in FILES} | {"digits-2/x"}
        )

    def test_one_object_is_the_file(self, resolve: Resolve, put: Put) -> None:
        """Upstream gives an empty folder."""
        put("gs://tests/models", {"w.h5": b"weights", "w.h5.bak": b"old", "w.h5/more": b"below"})
        path = resolve(DataReference("gs://tests/models/w.h5", is_dir=False))
        assert (path.name, path.read_bytes()) == ("w.h5", b"weights")

    def test_an_uploaded_file_is_the_file(self, resolve: Resolve, put: Put) -> None:
        put(UPLOADED, {"hello.txt": b"hello\n"})
        path = resolve(DataReference(UPLOADED, is_dir=False))
        assert (path.name, path.read_bytes()) == ("hello.txt", b"hello\n")

    def test_an_empty_folder(self, resolve: Resolve) -> None:
        folder = resolve(DataReference(f"{BASE}/{EMPTY_FOLDER}", is_dir=True))
        assert folder.is_dir()
        assert not files_in(folder)

    def test_what_was_stored_compressed_is_what_it_was(self, resolve: Resolve, gcs: GcsServer) -> None:
        content = Content()
        content.append(gzip.compress(LARGE))
        gcs.buckets["tests"].insert({"name": "logs/x.txt", "contentEncoding": "gzip"}, content, {})
        gcs.cut("download", 1 << 20)
        assert resolve(DataReference("gs://tests/logs/x.txt", is_dir=False)).read_bytes() == LARGE

    def test_what_was_stored_as_compressed_and_is_not_is_named(self, resolve: Resolve, gcs: GcsServer) -> None:
        content = Content()
        content.append(gzip.compress(b"x")[:10] + b"\xff" * 20)
        gcs.buckets["tests"].insert({"name": "logs/x.txt", "contentEncoding": "gzip"}, content, {})
        with pytest.raises(RuntimeError, match=r"gs://tests/logs/x\.txt could not be put into .*decompress"):
            resolve(DataReference("gs://tests/logs/x.txt", is_dir=False))

    def test_files_are_open_to_their_owner_as_usual(self, resolve: Resolve, put: Put) -> None:
        put(UPLOADED, {"run": b"x"})
        mask = os.umask(0o022)
        try:
            path = resolve(DataReference(UPLOADED, is_dir=False))
        finally:
            os.umask(mask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


class TestVolumes:
    """In a pod, whose file system is the job's own."""

    @pytest.fixture
    def mount(self, storage: GcsStorage, tmp_path: Path) -> Callable[[DataReference], None]:
        places = DataFolder(tmp_path / "data", tmp_path / "workspace", storage=lambda _: storage)
        return lambda reference: places.mount([reference.to_wire()])

    def test_data_lies_at_the_path(self, mount: Callable[[DataReference], None], put: Put, tmp_path: Path) -> None:
        put(UPLOADED, FILES)
        (tmp_path / "mnt").mkdir()
        (tmp_path / "mnt" / "of the image").touch()
        mount(DataReference(UPLOADED, is_dir=True, mount_path=str(tmp_path / "mnt")))
        assert files_in(tmp_path / "mnt") == {**FILES, "of the image": b""}

    def test_one_object_lies_below_the_path(
        self, mount: Callable[[DataReference], None], put: Put, tmp_path: Path
    ) -> None:
        put("gs://tests/models", {"w.h5": b"weights"})
        mount(DataReference("gs://tests/models/w.h5", is_dir=False, mount_path=str(tmp_path / "deep" / "mnt")))
        assert files_in(tmp_path / "deep") == {"mnt/w.h5": b"weights"}

    def test_a_path_that_cannot_be_written_to(self, mount: Callable[[DataReference], None], put: Put) -> None:
        put(UPLOADED, FILES)
        with pytest.raises(RuntimeError, match=r"could not be put into /sys/kinetic/data: .*Name a path that the job"):
            mount(DataReference(UPLOADED, is_dir=True, mount_path="/sys/kinetic/data"))


class TestTrouble:
    def test_a_bad_day_of_the_service(self, resolve: Resolve, put: Put, gcs: GcsServer) -> None:
        put(UPLOADED, FILES)
        gcs.fail("list")
        gcs.fail("download", times=2)
        gcs.cut("download", 1 << 20, times=3)
        assert files_in(resolve(DataReference(UPLOADED, is_dir=True))) == FILES

    def test_what_arrived_damaged_is_fetched_again(self, resolve: Resolve, put: Put, gcs: GcsServer) -> None:
        put(UPLOADED, {"large": LARGE})
        gcs.corrupt("download", times=fetch.TRIES - 1)
        assert resolve(DataReference(UPLOADED, is_dir=False)).read_bytes() == LARGE

    def test_and_again_damaged_is_an_error(self, resolve: Resolve, put: Put, gcs: GcsServer, tmp_path: Path) -> None:
        put(UPLOADED, {"large": LARGE})
        gcs.corrupt("download", times=fetch.TRIES)
        with pytest.raises(RuntimeError, match=f"{UPLOADED} could not be put into .*CRC-32C"):
            resolve(DataReference(UPLOADED, is_dir=False))
        assert not files_in(tmp_path)

    def test_a_composed_object_is_compared_by_its_crc32c(self, resolve: Resolve, gcs: GcsServer) -> None:
        content = Content()
        content.append(LARGE)
        gcs.buckets["tests"].insert({"name": "models/w.h5"}, content, {}, composed=True)
        gcs.corrupt("download", times=fetch.TRIES)
        with pytest.raises(RuntimeError, match="CRC-32C"):
            resolve(DataReference("gs://tests/models/w.h5", is_dir=False))
        assert resolve(DataReference("gs://tests/models/w.h5", is_dir=False)).read_bytes() == LARGE

    def test_the_next_attempt_fetches_what_is_missing(self, resolve: Resolve, put: Put, gcs: GcsServer) -> None:
        put(UPLOADED, FILES)
        folder = resolve(DataReference(UPLOADED, is_dir=True))
        (folder / "b.txt").unlink()
        (folder / "a" / "z.bin").write_bytes(b"changed by the function")
        before = gcs.requests["download"]
        assert files_in(resolve(DataReference(UPLOADED, is_dir=True))) == FILES
        assert gcs.requests["download"] == before + 2

    def test_no_half_file_has_a_name(
        self, resolve: Resolve, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The disk is full in the middle of a file."""
        put(UPLOADED, {"large": LARGE})

        real = os.write

        def write(descriptor: int, content: bytes) -> int:
            if not isinstance(content, memoryview):
                return real(descriptor, content)
            assert files_in(tmp_path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(RuntimeError, match=r"the disk is full.*ephemeral-storage"):
            resolve(DataReference(UPLOADED, is_dir=False))
        assert not files_in(tmp_path)

    def test_too_much_for_the_disk_is_found_before(
        self, resolve: Resolve, put: Put, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(UPLOADED, {"large": LARGE})
        usage = shutil.disk_usage("/")._replace(free=1 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(RuntimeError, match=r"needs 3\.0 MiB and 1\.0 MiB are free"):
            resolve(DataReference(UPLOADED, is_dir=False))
        assert gcs.requests["download"] == 0

    def test_a_missing_permission_names_it(self, resolve: Resolve, put: Put, gcs: GcsServer) -> None:
        put(UPLOADED, {"x": b"x"})
        for permission in ("storage.objects.list", "storage.objects.get"):
            gcs.faults.denied = {permission}
            with pytest.raises(RuntimeError, match=f"{permission}.*roles/storage.objectUser"):
                resolve(DataReference(UPLOADED, is_dir=True))

    @pytest.mark.parametrize(("path", "advised"), [("/data/x", True), ("/", True), ("/store/x", False)])
    def test_a_file_that_may_not_be_read_is_not_one_that_may_not_be_written(self, path: str, advised: bool) -> None:
        refused = PermissionError(errno.EACCES, "Permission denied", path)
        with (
            pytest.raises(RuntimeError, match=f"Permission denied: '{path}'") as caught,
            fetch.explained("x", Path("/data")),
        ):
            raise refused
        assert ("Name a path" in str(caught.value)) is advised

    @pytest.mark.parametrize("name", ["../evil", "a//b", "./a", "/a", "a/../../b"])
    def test_names_that_lead_elsewhere(self, resolve: Resolve, put: Put, tmp_path: Path, name: str) -> None:
        put("gs://tests/digits", {name: b"x"})
        with pytest.raises(RuntimeError, match="cannot become a file below"):
            resolve(DataReference("gs://tests/digits/", is_dir=True))
        assert not files_in(tmp_path)

    def test_a_name_that_is_a_file_and_a_folder(self, resolve: Resolve, put: Put) -> None:
        put("gs://tests/digits", {"a": b"x", "a/b": b"y"})
        with pytest.raises(RuntimeError, match=r"gs://tests/digits/ could not be put into .*directory"):
            resolve(DataReference("gs://tests/digits/", is_dir=True))

    @pytest.mark.parametrize("uri", ["gs://tests/nothing", "gs://tests/nothing/"])
    def test_nothing_there(self, resolve: Resolve, uri: str) -> None:
        with pytest.raises(RuntimeError, match=f"there is no object .*below it: {uri}"):
            resolve(DataReference(uri, is_dir=uri.endswith("/")))

    def test_a_bucket_that_does_not_exist(self, resolve: Resolve) -> None:
        with pytest.raises(RuntimeError, match="bucket does not exist"):
            resolve(DataReference("gs://elsewhere/x", is_dir=False))


def test_a_long_download_says_how_far_it_is(
    resolve: Resolve, put: Put, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(UPLOADED, FILES)
    resolve(DataReference(UPLOADED, is_dir=True))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    put("gs://tests/digits", FILES)
    resolve(DataReference("gs://tests/digits/", is_dir=True))
    first, *_, last = capsys.readouterr().err.splitlines()
    assert re.match(r"kinetic: Downloading gs://tests/digits/: .* of 3\.0 MiB .* of 5 files, .*/s", first)
    assert re.match(r"kinetic: Downloading gs://tests/digits/: done, 3\.0 MiB, 5 files in ", last)


def test_thousands_of_files_arrive_over_few_connections(resolve: Resolve, gcs: GcsServer) -> None:
    for number in range(1500):
        content = Content()
        content.append(str(number).encode())
        gcs.buckets["tests"].insert({"name": f"many/{number:05d}"}, content, {})
    before = gcs.connections
    folder = resolve(DataReference("gs://tests/many/", is_dir=True))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()
    assert digest == hashlib.sha256("".join(map(str, range(1500))).encode()).hexdigest()
    assert gcs.connections - before <= fetch.THREADS


BARE = """
import json
import sys

sys.path.insert(0, sys.argv[1])
from pathlib import Path
from airflow_provider_kinetic import Data
from airflow_provider_kinetic.job.data import DataFolder

assert Data("hf://mnist?split=train").hub.split == "train"
places = DataFolder(Path(sys.argv[2]), Path(sys.argv[2]))
print(places.arguments(({"x": [json.loads(sys.argv[3])]},), {})[0][0]["x"][0])
"""


@pytest.mark.parametrize(("minor", "python"), interpreters(), ids=[minor for minor, _ in interpreters()])
def test_a_bare_interpreter_does_it(minor: str, python: str, put: Put, gcs: GcsServer, tmp_path: Path) -> None:
    """It has no CRC-32C, and finds by MD5 what arrived damaged."""
    put(UPLOADED, FILES)
    gcs.corrupt("download", times=2)  # at least one of them is not the empty file
    bundle = runner_bundle.build(tmp_path / f"runner-{minor}.pyz").path
    wire = json.dumps(DataReference(UPLOADED, is_dir=True).to_wire())
    done = subprocess.run(
        [python, "-I", "-S", "-c", BARE, bundle, tmp_path / "data", wire],
        env={"STORAGE_EMULATOR_HOST": gcs.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert files_in(Path(done.stdout.strip())) == FILES
