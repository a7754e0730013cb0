"""References to data become paths; on this machine data is copied, or linked where a pod would have a mount."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from data_trees import hash_of, write

from airflow_provider_kinetic.job.references import FUSE_FOLDER, DataReference
from airflow_provider_kinetic.job.storage import path_to_uri

FILES = {"b.txt": b"B", "a/z.bin": bytes(range(256)), "a.txt": b"", "ü\n#?%20.txt": b"odd"}


@pytest.fixture(autouse=True)
def travels(by_value):
    """This module, as a DAG file does."""
    by_value(tree)


@pytest.fixture
def stored(tmp_path):
    """``stored(files)``: data of a local store, by content; its reference without final slash."""

    def store(files=FILES, *, folders=(), single=False, **options):
        source = write(tmp_path / "source", files)
        for name in folders:
            (source / name).mkdir(parents=True)
        place = (
            tmp_path / "store" / "default" / "data-cache" / hash_of(source / next(iter(files)) if single else source)
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        source.rename(place)
        return DataReference(path_to_uri(place), is_dir=not single, **options)

    return store


def tree(folder):
    """What the function sees: files with their content, and folders."""
    found = {}
    for path in Path(folder).rglob("*"):
        found[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return found


def content(path):
    return type(path).__name__, Path(path).name, Path(path).read_bytes()


def with_data(job, function, *references, volumes=(), **kwargs):
    payload = {"has_data_refs": True}
    if volumes:
        payload["volumes"] = [volume.to_wire() for volume in volumes]
    return job.call(function, *(reference.to_wire() for reference in references), payload=payload, **kwargs)


def value(job):
    ended = job.run()
    assert ended.code == 0, ended.output
    return job.result()["result"]


def failure(job):
    ended = job.run()
    assert ended.code == 1, ended.output
    result = job.result()
    assert result["phase"] == ended.termination["phase"] == "data resolve"
    assert type(result["exception"]) is RuntimeError
    return str(result["exception"])


class TestArguments:
    def test_a_folder_is_a_copy(self, job, stored):
        reference = stored(folders=["empty", "a/deep/empty"])
        with_data(job, tree, reference)
        found = value(job)
        assert {name: data for name, data in found.items() if data is not None} == FILES
        assert {name for name, data in found.items() if data is None} == {"a", "empty", "a/deep", "a/deep/empty"}
        assert job.leftovers() == []

    def test_what_the_function_changes_is_its_own(self, job, stored):
        def change(folder):
            Path(folder, "b.txt").write_text("changed")

        reference = stored()
        value(with_data(job, change, reference))
        assert Path(reference.uri.removeprefix("file://"), "b.txt").read_bytes() == b"B"

    def test_a_single_file_is_that_file(self, job, stored):
        reference = stored({"hello.txt": b"hello\n"}, single=True)
        assert value(with_data(job, content, reference)) == ("str", "hello.txt", b"hello\n")

    def test_an_empty_folder_is_one(self, job, stored):
        reference = stored({"x": b""})
        folder = Path(reference.uri.removeprefix("file://"))
        (folder / "x").unlink()
        empty = folder.rename(folder.with_name(hash_of(folder)))
        assert value(with_data(job, os.listdir, DataReference(path_to_uri(empty), is_dir=True))) == []

    def test_they_are_found_inside_of_containers(self, job, stored):
        @dataclasses.dataclass
        class Split:
            train: list[Any]
            seed: int

        def names(split, *, more):
            return [Path(path).name for path in (*split.train, more["x"][0])], split.train[0] == more["x"][0]

        first, second = stored(), DataReference(stored({"one": b"1"}).uri, is_dir=True)
        wire = first.to_wire()
        job.call(names, Split([wire, second.to_wire()], 7), more={"x": (wire, 1)}, payload={"has_data_refs": True})
        assert value(job) == (["0", "1", "0"], True)

    def test_equal_references_are_fetched_once(self, job, stored):
        def same(one, other):
            return one == other, [path.name for path in Path(one).parent.iterdir()]

        reference = stored()
        assert value(with_data(job, same, reference, dataclasses.replace(reference))) == (True, ["0"])

    def test_a_payload_that_does_not_say_so_is_searched(self, job, stored):
        """As released clients of upstream send it."""
        job.call(content, stored({"hello.txt": b"hello\n"}, single=True).to_wire())
        assert value(job)[1] == "hello.txt"

    def test_a_payload_without_references_is_not_searched(self, job, stored):
        wire = stored().to_wire()
        assert value(job.call(dict, wire, payload={"has_data_refs": False})) == wire


class TestClosures:
    def test_data_in_a_closure_stays_a_value(self, job):
        from airflow_provider_kinetic import Data

        data = Data("gs://acme/digits/", fuse=True)

        def look():
            from airflow_provider_kinetic import Data as Imported

            return isinstance(data, Imported), data.path, data

        assert value(job.call(look)) == (True, "gs://acme/digits/", data)

    def test_another_python_can_make_one(self, job):
        def make():
            from airflow_provider_kinetic import Data

            return Data("hf://mnist?split=train").hub.split, sys.version_info[:2]

        assert value(job.call(make)) == ("train", sys.version_info[:2])


class TestFuse:
    """On this machine a link leads to the store's own files."""

    def test_a_folder_is_linked(self, job, stored):
        reference = stored(fuse=True, mount_path=f"{FUSE_FOLDER}/0")
        found = value(with_data(job, os.path.realpath, reference))
        assert path_to_uri(found) == reference.uri
        assert tree(found)["b.txt"] == b"B"

    def test_a_single_file_is_the_file(self, job, stored):
        reference = stored({"hello.txt": b"hello\n"}, single=True, fuse=True, mount_path=f"{FUSE_FOLDER}/0")
        assert value(with_data(job, content, reference)) == ("str", "hello.txt", b"hello\n")

    def test_a_mount_that_is_not_there_is_named(self, job, tmp_path):
        reference = DataReference("gs://acme/digits", True, mount_path=str(tmp_path / "mount"), fuse=True)
        text = failure(with_data(job, len, reference))
        assert f"gs://acme/digits is not mounted at {tmp_path / 'mount'}" in text
        assert "CSI driver" in text

    @pytest.mark.parametrize("uri", ["gs://acme/models/w.h5", f"gs://jobs/default/data-cache/{'0' * 64}"])
    def test_a_mounted_file_is_found_by_its_name(self, job, tmp_path, uri):
        uploaded = "data-cache" in uri
        write(tmp_path / "mount", {"w.h5": b"w"} if uploaded else {"a.h5": b"a", "w.h5": b"w"})
        reference = DataReference(uri, False, mount_path=str(tmp_path / "mount"), fuse=True)
        assert value(with_data(job, str, reference)) == str(tmp_path / "mount" / "w.h5")

    def test_a_mounted_file_that_is_missing_is_named(self, job, tmp_path):
        write(tmp_path / "mount", {"other": b""})
        reference = DataReference("gs://acme/models/w.h5", False, mount_path=str(tmp_path / "mount"), fuse=True)
        assert "gs://acme/models/w.h5 is not there" in failure(with_data(job, len, reference))

    def test_a_mount_of_uploaded_data_that_is_empty(self, job, tmp_path):
        (tmp_path / "mount").mkdir()
        uri = f"gs://jobs/default/data-cache/{'0' * 64}"
        reference = DataReference(uri, True, mount_path=str(tmp_path / "mount"), fuse=True)
        assert f"the data at {uri} is gone" in failure(with_data(job, len, reference))

    def test_a_mounted_folder_is_the_mount(self, job, tmp_path):
        write(tmp_path / "mount", {"w.h5": b"w"})
        reference = DataReference("gs://acme/models", True, mount_path=str(tmp_path / "mount"), fuse=True)
        assert value(with_data(job, str, reference)) == str(tmp_path / "mount")


class TestVolumes:
    """On this machine they are links at the user's path while jobs run."""

    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "mnt").mkdir()
        return tmp_path / "mnt" / "data"

    @pytest.mark.parametrize("fuse", [False, True])
    def test_a_volume_is_there_while_the_job_runs(self, job, stored, path, fuse):
        reference = stored(mount_path=str(path), fuse=fuse)
        with_data(job, lambda: (tree(path), os.path.realpath(path)), volumes=[reference])
        found, real = value(job)
        assert found["b.txt"] == b"B"
        assert (path_to_uri(real) == reference.uri) is fuse
        assert list(path.parent.iterdir()) == []
        assert Path(reference.uri.removeprefix("file://"), "b.txt").exists()

    def test_a_single_file_lies_below_the_path(self, job, stored, path):
        reference = stored({"hello.txt": b"hello\n"}, single=True, mount_path=str(path))
        assert value(with_data(job, os.listdir, volumes=[reference], path=str(path))) == ["hello.txt"]

    def test_what_lies_at_the_path_is_left_alone(self, job, stored, path):
        write(path, {"mine": b"m"})
        text = failure(with_data(job, len, volumes=[stored(mount_path=str(path))]))
        assert f"cannot be linked at {path}: something is there already" in text
        assert tree(path) == {"mine": b"m"}

    def test_a_missing_parent_is_named(self, job, stored, path):
        text = failure(with_data(job, len, volumes=[stored(mount_path=str(path / "deep" / "er"))]))
        assert f"there is no folder {path / 'deep'}" in text

    @pytest.mark.parametrize("fuse", [False, True])
    def test_jobs_that_want_the_same_share_it(self, job, another, stored, path, fuse):
        def wait(gate):
            import time

            Path(gate, "seen").touch()
            while not Path(gate, "open").exists():
                time.sleep(0.01)
            return Path(path, "b.txt").read_bytes()

        reference = stored(mount_path=str(path), fuse=fuse)
        gate = job.folder / "gate"
        gate.mkdir()
        running = with_data(job, wait, volumes=[reference], gate=str(gate)).start()
        while not (gate / "seen").exists():
            assert running.poll() is None, job.end(running).output
        assert value(with_data(another("job-2"), lambda: Path(path, "b.txt").read_bytes(), volumes=[reference])) == b"B"
        if fuse:  # either way, and the refusal waits for those who are about to leave
            other = stored({"x": b"x"}, mount_path=str(path))
            text = failure(with_data(another("job-3"), len, volumes=[other]))
            assert f"another job uses it for {reference.uri}" in text
        (gate / "open").touch()
        assert job.end(running).code == 0
        assert job.result()["result"] == b"B"
        assert list(path.parent.iterdir()) == []

    def test_what_a_killed_job_has_left_is_made_anew(self, job, stored, path):
        old = write(path.parent / ".data.kinetic", {"lock": b"", "data/stale": b"s"})
        (old / "claim.json").write_text(json.dumps({"uri": "file:///old", "target": str(old / "data")}))
        path.symlink_to(old / "data")
        found = value(with_data(job, lambda: tree(path), volumes=[stored({"new": b"n"}, mount_path=str(path))]))
        assert found == {"new": b"n"}
        assert list(path.parent.iterdir()) == []

    def test_a_volume_that_is_an_argument_too_is_fetched_once(self, job, stored, path):
        reference = stored()
        volume = dataclasses.replace(reference, mount_path=str(path))
        same = value(with_data(job, lambda given: Path(given).samefile(path), reference, volumes=[volume]))
        assert same is True


class TestWhatIsNotThere:
    def test_data_that_was_removed_is_named(self, job, tmp_path):
        uri = path_to_uri(tmp_path / "default" / "data-cache" / ("0" * 64))
        text = failure(with_data(job, len, DataReference(uri, True)))
        assert f"the data at {uri} is gone" in text
        assert "30 days" in text

    def test_a_reference_without_uri(self, job):
        job.call(len, {"__data_ref__": True}, payload={"has_data_refs": True})
        assert "has no 'uri'" in failure(job)

    def test_an_unknown_scheme(self, job):
        assert "s3://" in failure(with_data(job, len, DataReference("s3://acme/x", True)))

    def test_a_cycle_through_a_tuple(self, job, stored):
        inner: list[Any] = [stored().to_wire()]
        inner.append((inner,))
        job.call(len, inner, payload={"has_data_refs": True})
        assert "contains itself" in failure(job)


def test_a_stopped_job_takes_its_volumes_along(job, stored, tmp_path):
    path = tmp_path / "volume"

    def wait(seen):
        import time

        Path(seen).touch()
        time.sleep(60)

    running = with_data(job, wait, volumes=[stored(mount_path=str(path))], seen=str(tmp_path / "seen"))
    running.environ["KINETIC_STOP_GRACE"] = "1"
    process = running.start()
    while not (tmp_path / "seen").exists():
        assert process.poll() is None, job.end(process).output
    assert (path / "b.txt").exists()
    process.terminate()
    assert job.end(process).code == 143
    assert not path.is_symlink()
    assert not (tmp_path / ".volume.kinetic").exists()
