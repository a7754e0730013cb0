"""What became of each checkpoint, and what may be done with it from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import read
from gcs_server import GcsServer

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.vaults import below
from airflow_provider_kinetic.lifecycle.checkpoint_copy import copy_checkpoint
from airflow_provider_kinetic.lifecycle.checkpoint_pruning import check_finished, judge_checkpoints, prune
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError, Preempted

Save = Callable[..., str]


def states(place: Any) -> dict[int, str]:
    return {each.step: each.state for each in place.reader().checkpoints()}


def test_facts_of_one_that_is_whole(place: Any, saved: Save) -> None:
    with place.begin() as trial:
        name = saved(trial, 5, loss=0.25, note="good")
    (found,) = place.reader().checkpoints()
    assert (found.name, found.uri, found.step, found.attempt) == (name, place.layout.data(name), 5, 1)
    assert (found.state, found.kind, found.files, found.pinned) == ("COMPLETED", "kinetic", 3, False)
    assert found.metadata == {"loss": 0.25, "note": "good"}
    assert found.bytes > 100
    assert abs(found.created - place.store.now(place.uri)) < 10
    assert found.expires is None
    (again,) = place.reader(lifetime=3600.0).checkpoints()
    assert 3590 < again.expires - found.created <= 3600


@pytest.mark.filterwarnings("ignore:The checkpoint .* cannot be used")
def test_every_state(place: Any, saved: Save) -> None:
    first = place.begin()
    names = {step: saved(first, step) for step in (1, 2, 3, 4)}
    layout, vault = place.layout, place.vault
    vault.write(layout.tombstone(names[2]), b"{}")
    vault.delete(below(layout.data(names[3]), "a/b ä"))
    vault.write(layout.commit(names[4]), b'{"v": 1, "na')
    vault.write(layout.data("000000000005-a0001-0005") + "/state", b"half")
    assert states(place) == {1: "COMPLETED", 2: "DELETED", 3: "PARTIALLY_DELETED", 4: "ERROR", 5: "ACTIVE"}

    first.close()
    assert states(place)[5] == "ERROR"
    assert place.reader().latest().step == 1


def test_half_saved_by_an_attempt_that_was_followed_is_an_error(place: Any, saved: Save) -> None:
    with place.begin() as trial:
        saved(trial, 1)
    place.begin()
    place.vault.write(place.layout.data("000000000009-a0001-0009") + "/state", b"half")
    place.vault.write(place.layout.data("000000000008-a0002-0001") + "/state", b"half")
    assert states(place) == {1: "COMPLETED", 8: "ACTIVE", 9: "ERROR"}


def test_what_a_zombie_saves_is_not_shown(place: Any, saved: Save) -> None:
    first = place.begin()
    name = saved(first, 1)
    place.begin()
    record = json.loads(place.vault.read(place.layout.commit(name)))
    late = "000000000002-a0001-0002"
    place.vault.write(place.layout.commit(late), json.dumps({**record, "name": late, "step": 2}).encode())
    assert states(place) == {1: "COMPLETED"}


def test_latest_and_best(place: Any, saved: Save) -> None:
    trial = place.begin()
    for step, loss in ((1, 0.5), (2, 0.1), (3, 0.3)):
        saved(trial, step, loss=loss)
    reader = place.reader()
    assert reader.latest().step == 3
    assert reader.best("loss").step == 2
    assert reader.best("loss", "max").step == 1
    assert reader.best("accuracy") is None
    with pytest.raises(ValueError, match="'min' or 'max'"):
        reader.best("loss", "least")


def test_steps_of_orbax_stand_beside_ours(place: Any, saved: Save) -> None:
    trial = place.begin()
    saved(trial, 5)
    for name in ("7/commit_success.txt", "7/state/data", "9/state/data"):
        place.vault.write(f"{place.layout.checkpoints}/{name}", b"orbax")
    found = place.reader().checkpoints()
    steps = [5, 7] if place.uri.startswith("gs") else [5, 7, 9]  # a folder has its name when it is finished
    assert [each.step for each in found] == steps
    assert (found[1].kind, found[1].attempt, found[1].files, found[1].state) == ("orbax", 1, 2, "COMPLETED")
    assert place.reader().latest().step == steps[-1]


def test_steps_of_orbax_in_the_directory_itself_are_told_too(place: Any, saved: Save) -> None:
    first = place.begin()
    saved(first, 5)
    place.vault.write(f"{place.uri}/2024/data", b"the user's")
    for name in ("commit_success.txt", "state/data"):
        place.vault.write(f"{place.uri}/1000/{name}", b"orbax")
    first.close(Preempted())
    place.begin()
    reader = place.reader()
    found = reader.latest()
    assert [each.step for each in reader.checkpoints()] == [5, 1000]
    assert (found.uri, found.kind, found.attempt, found.files) == (f"{place.uri}/1000", "orbax", 1, 2)
    assert found.created is not None
    assert reader.state().step == 1000
    assert reader.state().lost_seconds < 1
    assert reader.attempts()[1].resumed_from == {"step": 1000, "uri": f"{place.uri}/1000"}


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_a_state_costs_as_many_requests_with_a_long_story(gcs: GcsServer, place: Any, saved: Save) -> None:
    for number in range(20):
        with place.begin() as trial:
            saved(trial, number + 1)
    record = json.loads(place.vault.read(place.layout.commit("000000000020-a0020-0001")))
    for step in range(21, 101):
        name = f"{step:012d}-a0020-{step:04d}"
        place.vault.write(place.layout.commit(name), json.dumps({**record, "name": name, "step": step}).encode())
        place.vault.write(place.layout.data(name) + "/state", b"")
    reader = place.reader()

    before = dict(gcs.requests)
    assert reader.state().step == 100
    first = {kind: count - before.get(kind, 0) for kind, count in gcs.requests.items()}
    before = dict(gcs.requests)
    assert reader.state().attempts == 20
    again = {kind: count - before.get(kind, 0) for kind, count in gcs.requests.items()}

    assert first["list"] <= 12
    assert first["download"] <= 20 + 20 + 2
    assert again["download"] <= 2
    assert again.get("stat", 0) == 0
    before = dict(gcs.requests)
    assert len(reader.checkpoints()) == 100
    reader.checkpoints()
    assert gcs.requests["download"] - before["download"] <= 100 + 2


def test_a_copy_is_the_checkpoint(place: Any, saved: Save, tmp_path: Path) -> None:
    with place.begin() as trial:
        saved(trial, 5, loss=1.0)
    found = place.reader().latest()
    target = tmp_path / "new" / "copy"
    assert copy_checkpoint(place.store, found, str(target)) == str(target)
    files = read(target)
    assert json.loads(files.pop("manifest.json"))["v"] == 2
    assert files == {"state": b"5", "a/b ä": b"x" * 100}
    assert [path.name for path in target.parent.iterdir()] == ["copy"]
    with pytest.raises(ConfigurationError, match="something in"):
        copy_checkpoint(place.store, found, path_to_uri(target))


def test_a_damaged_one_is_not_copied(place: Any, saved: Save, tmp_path: Path) -> None:
    with place.begin() as trial:
        name = saved(trial, 5)
    place.vault.write(place.layout.data(name) + "/state", b"6")
    found = place.reader().latest()
    with pytest.raises(CheckpointCorrupt, match="state has changed"):
        copy_checkpoint(place.store, found, str(tmp_path / "copy"))
    place.vault.delete(place.layout.data(name) + "/state")
    with pytest.raises(CheckpointCorrupt, match="gone"):
        copy_checkpoint(place.store, found, str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_the_service_copies_within_itself(gcs: GcsServer, place: Any, saved: Save) -> None:
    with place.begin() as trial:
        saved(trial, 5)
    found = place.reader().latest()
    before = gcs.requests["download"]
    assert copy_checkpoint(place.store, found, "gs://tests/elsewhere/five/") == "gs://tests/elsewhere/five"
    assert gcs.requests["download"] - before == 1  # the manifest
    names = {info.uri.removeprefix("gs://tests/elsewhere/five/") for info in place.store.list("gs://tests/elsewhere/")}
    assert names == {"state", "a/b ä", "metadata.json", "manifest.json"}
    with pytest.raises(ConfigurationError, match="something under"):
        copy_checkpoint(place.store, found, "gs://tests/elsewhere/five")


def pruned(place: Any, keep: Keep, **given: Any) -> dict[int, str]:
    """Steps that are there afterwards, and why each was judged as it was."""
    reader = place.reader()
    judged = judge_checkpoints(reader.look(), keep, **given)
    done = [each.checkpoint.step for each in prune(reader, judged)]
    assert done == [each.checkpoint.step for each in judged if each.due]
    return {each.checkpoint.step: each.why for each in judged if not each.due}


def test_a_finished_trial_is_thinned_out(place: Any, saved: Save) -> None:
    with place.begin() as trial:
        names = {step: saved(trial, step, loss=abs(step - 3) / 10) for step in range(1, 9)}
        place.vault.write(place.layout.pin(names[1]), b"")
    kept = pruned(place, Keep(latest=1, best=("loss", 1, "min"), every=4))
    assert kept == {1: "pinned", 3: "asked to be kept", 4: "asked to be kept", 8: "the last one"}
    assert sorted(states(place)) == [1, 3, 4, 8]
    left = {
        info.uri.split("/checkpoints/")[1].split("/")[0] for info in place.store.list(f"{place.layout.checkpoints}/")
    }
    assert left == {names[step] for step in (1, 3, 4, 8)}
    assert place.store.list(place.layout.tombstones) == []


def test_the_last_one_that_is_whole_stays_whatever_is_damaged(place: Any, saved: Save) -> None:
    with place.begin() as trial:
        names = {step: saved(trial, step) for step in (1, 2, 3)}
    place.vault.delete(place.layout.data(names[3]) + "/state")
    place.vault.write(place.layout.tombstone(names[1]), b"{}")
    place.vault.write(place.layout.data("000000000009-a0001-0009") + "/state", b"half")
    assert pruned(place, Keep(latest=1)) == {2: "the last one", 3: "damaged by others"}
    assert states(place) == {2: "COMPLETED", 3: "PARTIALLY_DELETED"}


def test_young_ones_stay(place: Any, saved: Save) -> None:
    with place.begin() as trial:
        saved(trial, 1)
        saved(trial, 2)
    assert pruned(place, Keep(latest=1), older_than=60.0) == {1: "too young", 2: "the last one"}


def test_a_trial_that_runs_or_comes_back_is_left_alone(place: Any, saved: Save) -> None:
    trial = place.begin()
    saved(trial, 1)
    with pytest.raises(ConfigurationError, match="The trial is RUNNING"):
        check_finished(place.reader().look())
    trial.close()
    check_finished(place.reader().look())


def test_what_is_being_saved_stays(place: Any, saved: Save) -> None:
    trial = place.begin()
    saved(trial, 1)
    place.vault.write(place.layout.data("000000000002-a0001-0002") + "/state", b"half")
    assert pruned(place, Keep(latest=1)) == {1: "the last one", 2: "being saved"}


def test_a_step_of_orbax_is_copied_as_it_is_listed(place: Any, tmp_path: Path) -> None:
    with place.begin():
        files = {"commit_success.txt": b"", "state/d/1 %": b"orbax"}
        for name, data in files.items():
            place.vault.write(below(f"{place.layout.checkpoints}/7", name), data)
    copy_checkpoint(place.store, place.reader().latest(), str(tmp_path / "copy"))
    assert read(tmp_path / "copy") == files


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_objects_that_stand_for_folders_are_left_out_of_a_copy(place: Any, tmp_path: Path) -> None:
    """Google's console makes some, and programs that work on a bucket as on a disk."""
    with place.begin():
        for name in ("", "state/", "commit_success.txt", "state/d"):
            place.vault.write(f"{place.layout.checkpoints}/7/{name}", b"")
    found = place.reader().latest()
    copy_checkpoint(place.store, found, str(tmp_path / "copy"))
    assert read(tmp_path / "copy") == {"commit_success.txt": b"", "state/d": b""}
    copy_checkpoint(place.store, found, "gs://tests/elsewhere/seven")
    names = sorted(info.uri.partition("/seven/")[2] for info in place.store.list("gs://tests/elsewhere/seven/"))
    assert names == ["commit_success.txt", "state/d"]


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_no_name_leads_out_of_a_copy(place: Any, tmp_path: Path) -> None:
    with place.begin():
        for name in ("commit_success.txt", "../../escaped"):
            place.vault.write(f"{place.layout.checkpoints}/7/{name}", b"")
    with pytest.raises(CheckpointCorrupt, match="not a path inside"):
        copy_checkpoint(place.store, place.reader().latest(), str(tmp_path / "a" / "copy"))
    assert not (tmp_path / "escaped").exists()
