"""Odd files and full disks: an exact round trip or an error that says what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, ON_THIS_MACHINE, noise, read, write

from airflow_provider_kinetic.job.training.saving import NotSaved

NAMES = [
    "with space",
    "a#b?c%20d",
    "%2e%2e",
    "ünï/日本/😀",
    "quote'\"",
    "line\nbreak",
    "-rf",
    ".hidden",
    "a" * 200,
    "back\\slash",
    "plus+and&=",
    "*",
    "metadata.json.old",
]


def test_any_name_and_size_comes_back(place):
    files = {name: name.encode() for name in NAMES} | {"empty": b"", "nothing/at/all": b"", "one": b"1"}
    trial = place.begin()
    for step in (1, 2):
        with trial.save(step) as folder:
            write(folder, files)
    with place.begin().restore() as found:
        assert read(found.path) == files
    assert trial.latest.files == len(files) + 1


def test_a_name_that_is_no_text_is_refused(place):
    trial = place.begin()
    with pytest.raises(ValueError, match="is not a UTF-8 name"), trial.save(1) as folder:
        (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"1")
    assert trial.latest is None


@pytest.mark.kills
@pytest.mark.timeout(300)
def test_ten_thousand_files(place):
    files = {f"{number % 100}/{number}": str(number).encode() * (number % 7) for number in range(10_000)}
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, files)
    with place.begin().restore() as found:
        assert read(found.path) == files


CHILD = """
import json, resource, signal, sys
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
uri, what, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
trial = Trial(uri, Keep())
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))  # as a disk that is full from there on
try:
    if what == "restore":
        with trial.restore() as found:
            print("restored", found.step)
    else:
        with trial.save(2) as folder:
            (folder / "state").write_bytes(bytes(1_000_000))
        print("saved")
except BaseException as error:
    print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with trial.save(3) as folder:
    (folder / "state").write_bytes(b"3")
print(trial.latest.step)
trial.close()
"""


@pytest.fixture
def child():
    root = str(Path(__file__).parent.parent.parent)

    def run(*arguments):
        command = [sys.executable, "-S", "-c", CHILD, *map(str, arguments)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=True, timeout=100
        )
        return done.stdout.splitlines()

    return run


def test_a_full_disk_while_saving_stores_nothing_and_the_training_goes_on(place, scratch, child):
    said = child(place.uri, "save", 500_000)
    assert said[0].startswith("OSError [Errno 27] File too large")
    assert said[1:] == ["3"]
    assert list(scratch.iterdir()) == []
    assert [name for name in place.names(".kinetic/checkpoints/") if "000002" in name] == []


def test_a_full_disk_while_restoring_says_where_there_may_be_room(place, scratch, child):
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, {"state": noise(1, 1_000_000)})
    said = child(place.uri, "restore", 500_000)
    assert "the checkpoint of step 1 has 10000" in said[0], said
    assert f"{scratch}/kinetic-restore-" in said[0]
    assert "KINETIC_TMP names a folder on another disk" in said[0]
    assert said[1:] == ["3"]


@pytest.fixture
def small_disk():
    """Mounts a file system with room for some small files."""
    mounted = []

    def mount(folder):
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", "size=256k,nr_inodes=100"]
        if subprocess.run(["mount", *options, "tmpfs", folder], capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def scarce(tmp_path, small_disk, monkeypatch):
    """Where checkpoints are filled."""
    folder = small_disk(tmp_path / "small")
    monkeypatch.setenv("KINETIC_TMP", str(folder))
    return folder


def fill(folder):
    """All bytes; files still have names."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def goes_on(place, trial, saved):
    """Nothing of step 2 is seen, and the next one is saved."""
    assert [each.step for each in trial.checkpoints] == [1]
    assert not any("000002-a" in name for name in place.names(".kinetic/checkpoints/"))
    saved(trial, 3)
    assert [each.step for each in place.begin().checkpoints] == [1, 3]


def test_no_room_for_what_we_add_to_the_files(place, saved, scarce):
    trial = place.begin()
    saved(trial, 1)
    with pytest.raises(OSError, match="No space left"), trial.save(2) as folder:
        fill(folder)
    assert list(scarce.iterdir()) == []
    goes_on(place, trial, saved)


def test_no_room_for_the_folder_that_is_to_be_filled(place, saved, scarce):
    trial = place.begin()
    saved(trial, 1)
    with contextlib.suppress(OSError):
        for number in range(100):
            (scarce / str(number)).touch()
    with pytest.raises(OSError, match=rf"No space left.*{scarce}/kinetic-save-"), trial.save(2):
        pytest.fail("there is nothing to fill")
    for path in scarce.iterdir():
        path.unlink()
    goes_on(place, trial, saved)


@ON_THIS_MACHINE
def test_no_room_in_the_output_directory(place, saved, scratch, small_disk, tmp_path):
    """The files stay where there was room, and what arrived of them takes none in the directory."""
    small_disk(tmp_path / "out put")
    trial = place.begin()
    saved(trial, 1)
    state = noise(2, 300_000)
    with pytest.raises(NotSaved, match=rf"step 2 is not saved.*No space left.*stay in {scratch}/"), trial.save(2) as to:
        write(to, {"state": state})
    assert [read(folder) for folder in scratch.iterdir()] == [{"state": state}]
    goes_on(place, trial, saved)
    for each in place.attempts:
        each.close()


@IN_CLOUD_STORAGE
def test_a_bucket_that_became_read_only_is_said_once_and_training_goes_on(place, gcs, scratch):
    trial = place.begin()
    gcs.faults.denied = {"storage.objects.create"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(1, 301):
            trial.log({"loss": step}, step=step)
            if step % 100 == 0:
                trial._heartbeat.beat()
                with pytest.raises(OSError, match=r"403.*stay in"), trial.save(step) as folder:
                    write(folder, {"state": b"1"})
        trial.close()
    texts = " ".join(str(each.message) for each in said)
    assert texts.count("cannot be written and is tried again") == 1
    assert texts.count("The last metrics could not be written") == 1
    assert texts.count("The end of this attempt could not be recorded") == 1
    assert len(said) == 3
    (kept,) = scratch.iterdir()
    shutil.rmtree(kept)
