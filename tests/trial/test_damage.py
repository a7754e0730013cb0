"""What was damaged in the store is never handed out: the one before is, or an error."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from checkpoint_files import read, write

from airflow_provider_kinetic.job import digests
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


def told(place, checkpoint, **facts):
    """The record says so."""
    commit = place.layout.commit(checkpoint.name)
    record = {**json.loads(place.vault.read(commit)), **facts}
    place.vault.write(commit, json.dumps({name: fact for name, fact in record.items() if fact is not None}).encode())


def no_manifest(place, checkpoint):
    told(place, checkpoint, manifest=None)
    place.vault.delete(f"{checkpoint.uri}/manifest.json")


def other_manifest(place, checkpoint):
    told(place, checkpoint, manifest=None)
    place.vault.write(f"{checkpoint.uri}/manifest.json", manifests.encode([]))


def other_manifest_in_the_record(place, checkpoint):
    told(place, checkpoint, manifest=manifests.encode([]).decode())


DAMAGE = [gone, changed, longer, no_manifest, other_manifest, other_manifest_in_the_record]


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


@pytest.mark.parametrize("count", [0, 1])
def test_what_the_record_tells_is_not_fetched(place, count):
    """Its description is made here, and so is none that the user has written."""
    trial = place.begin()
    with trial.save(1, loss=0.5, words=["ä", None]) as folder:
        write(folder, {"a": b"1", **({"metadata.json": b"mine"} if count else {})})
    expected = b"mine" if count else place.vault.read(f"{trial.latest.uri}/metadata.json")
    if not count:
        place.vault.delete(f"{trial.latest.uri}/metadata.json")
    with place.begin().restore() as found:
        assert (found.path / "metadata.json").read_bytes() == expected


@pytest.mark.parametrize("count", [3, 100])
def test_a_short_list_of_files_needs_no_request_of_its_own(place, count):
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, {f"{number:03}": b"%d" % number for number in range(count)})
    assert (b'"manifest"' in place.vault.read(place.layout.commit(trial.latest.name))) is (count < 30)
    if count < 30:
        place.vault.delete(f"{trial.latest.uri}/manifest.json")
    with place.begin().restore() as found:
        assert len(list(found.path.iterdir())) == count + 1, "metadata.json too"


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


@pytest.mark.parametrize("where", ["record", "file"])
@pytest.mark.parametrize("path", ["../escaped", "/tmp/escaped", "a/../../escaped"])
def test_whoever_changes_the_records_gets_no_file_out_of_the_folder(place, tmp_path, path, where):
    """Manifest and commit record agree with each other."""
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, {"a": b"1"})
    newest = trial.latest
    manifest = manifests.encode([manifests.File(path, 1, digests.of_bytes(b"1"), "", "1")])
    place.vault.write(f"{newest.uri}/{manifests.NAME}", manifest)
    inside = manifest.decode() if where == "record" else None
    told(place, newest, manifest=inside, manifest_sha256=hashlib.sha256(manifest).hexdigest())
    with pytest.raises(CheckpointCorrupt, match="is not a path inside"), place.begin().restore(strict=True):
        pass
    assert list(tmp_path.glob("scratch/**/escaped")) == []
