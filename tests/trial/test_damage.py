"""What was damaged in the store is never handed out: the one before is, or an error."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from checkpoint_files import read, write

from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.model.errors import CheckpointCorrupt


def damaged(place, how):
    trial = place.begin()
    for step in (1, 2):
        with trial.save(step) as folder:
            write(folder, {"a": b"1", "b": str(step).encode()})
    newest = trial.latest
    how(place, newest)
    return place.begin()


def gone(place, checkpoint):
    place.vault.delete(f"{checkpoint.uri}/b")


def changed(place, checkpoint):
    place.vault.write(f"{checkpoint.uri}/b", b"3")


def longer(place, checkpoint):
    place.vault.write(f"{checkpoint.uri}/b", b"22")


def no_manifest(place, checkpoint):
    place.vault.delete(f"{checkpoint.uri}/manifest.json")


def other_manifest(place, checkpoint):
    place.vault.write(f"{checkpoint.uri}/manifest.json", manifests.encode([]))


DAMAGE = [gone, changed, longer, no_manifest, other_manifest]


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_falls_back_to_the_one_before(place, how):
    trial = damaged(place, how)
    with contextlib.ExitStack() as stack:
        with pytest.warns(UserWarning, match=r"step 2.*is damaged"):
            found = stack.enter_context(trial.restore())
        assert found.step == 1
        assert read(found.path) == {"a": b"1", "b": b"1"}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_an_error_when_this_one_was_asked_for(place, how):
    trial = damaged(place, how)
    with pytest.raises(CheckpointCorrupt, match="step 2"), trial.restore(strict=True):
        pass
    with pytest.raises(CheckpointCorrupt), trial.restore(trial.latest):
        pass
    with pytest.raises(CheckpointCorrupt), trial.latest.open():
        pass


def test_no_whole_checkpoint_is_an_error_and_not_a_fresh_start(place):
    trial = damaged(place, gone)
    gone(place, trial.checkpoints[0])
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(CheckpointCorrupt, match="step 2"),
        trial.restore(),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b'{"v": 1, "name"', b"[]", b"null", b'{"v": 2}', b'{"v": 1, "name": "x"}'])
def test_a_commit_record_that_cannot_be_read_is_passed_over(place, saved, content):
    trial = place.begin()
    saved(trial, 1)
    saved(trial, 2)
    place.vault.write(place.layout.commit(trial.latest.name), content)
    with pytest.warns(UserWarning, match="passed over"):
        again = place.begin()
    with again.restore() as found:
        assert found.step == 1


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//b", "", "a\0b", "./a", "dir"])
def test_a_manifest_that_leaves_its_folder_is_refused(path):
    files = [manifests.File(each, 1, "", "", "1") for each in (path, "dir/file")]
    with pytest.raises(ValueError):
        manifests.decode(manifests.encode(files))


@pytest.mark.parametrize("path", ["../escaped", "/tmp/escaped", "a/../../escaped"])
def test_whoever_changes_the_records_gets_no_file_out_of_the_folder(place, tmp_path, path):
    """Manifest and commit record agree with each other."""
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, {"a": b"1"})
    newest = trial.latest
    manifest = manifests.encode([manifests.File(path, 1, hashlib.sha256(b"1").hexdigest(), "", "1")])
    place.vault.write(f"{newest.uri}/{manifests.NAME}", manifest)
    commit = place.layout.commit(newest.name)
    record = json.loads(place.vault.read(commit))
    place.vault.write(commit, json.dumps({**record, "manifest_sha256": hashlib.sha256(manifest).hexdigest()}).encode())
    with pytest.raises(CheckpointCorrupt, match="is not a path inside"), place.begin().restore(strict=True):
        pass
    assert list(tmp_path.glob("scratch/**/escaped")) == []
