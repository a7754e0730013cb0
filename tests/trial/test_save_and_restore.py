"""A checkpoint is whole or not there, and what comes back is what was saved."""

from __future__ import annotations

import json
import math
import threading
import time

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, noise, read, write

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.vaults import below
from airflow_provider_kinetic.model.errors import ConfigurationError, Superseded

MIB = 1 << 20
ODD = {
    "state": b"1",
    "empty": b"",
    "a/b/c": noise(1, 300_000),
    "with space/ünï cödé 試": b"2",
    "what?#%20&+": b"3",
    "large": noise(2, 9 * MIB),
}


def test_what_is_saved_comes_back(place):
    with place.begin().save(7, loss=0.5, note="good") as folder:
        write(folder, ODD)
    with place.begin().restore() as found:
        assert found.step == 7
        assert found.metadata == {"loss": 0.5, "note": "good"}
        assert found.files == len(ODD) + 1
        assert read(found.path) == ODD
        here = found.path
    assert not here.exists()


def test_at_the_first_start_there_is_nothing(place):
    trial = place.begin()
    with trial.restore() as found:
        assert found is None
    assert trial.attempt == 1
    assert trial.latest is None
    assert trial.checkpoints == []


def test_steps_go_on_over_attempts(place, saved):
    for attempt in range(1, 4):
        trial = place.begin()
        assert trial.attempt == attempt
        with trial.restore() as found:
            start = found.step if found else 0
        assert start == (attempt - 1) * 10
        saved(trial, start + 5)
        saved(trial, start + 10)
    assert [each.step for each in trial.checkpoints] == [5, 10, 15, 20, 25, 30]


def test_a_body_that_raises_saves_nothing(place):
    trial = place.begin()

    def save():
        with trial.save(1) as folder:
            write(folder, {"state": b"1"})
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        save()
    assert trial.latest is None
    assert place.names("checkpoints") == []


def test_the_background_saves_while_the_loop_goes_on(place):
    trial = place.begin()
    begun = threading.Event()
    send, trial._vault.send = trial._vault.send, lambda *args: begun.wait(10) and send(*args)
    try:
        started = time.monotonic()
        with trial.save(1, wait=False) as folder:
            write(folder, {"state": noise(1, MIB)})
        assert time.monotonic() - started < 2
        assert trial.latest is None
        begun.set()
        trial.wait()
        assert trial.latest.step == 1
    finally:
        trial._vault.send = send


def test_trouble_in_the_background_is_raised_by_the_next_call(place):
    trial = place.begin()
    with trial.save(1, wait=False) as folder:
        (folder / "manifest").mkdir()
        (folder / "link").symlink_to(folder / "manifest")
    with pytest.raises(ValueError, match="link to a folder"):
        trial.wait()
    with trial.save(2) as folder:
        write(folder, {"state": b"2"})
    assert [each.step for each in trial.checkpoints] == [2]


@pytest.mark.parametrize("step", [-1, 1.5, math.nan, math.inf, None, "3"])
def test_steps_are_whole_numbers(place, step):
    with pytest.raises(ValueError, match="whole number"), place.begin().save(step):
        pass


def test_names_that_are_ours_are_refused(place):
    with pytest.raises(ValueError, match=r"manifest\.json is ours"), place.begin().save(1) as folder:
        write(folder, {"manifest.json": b""})


def test_metadata_are_values_of_json(place):
    class Scalar:
        def item(self):
            return 3.5

    trial = place.begin()
    with trial.save(1, nan=math.nan, inf=-math.inf, scalar=Scalar(), deep={"a": [1, None, True]}) as folder:
        write(folder, {"state": b""})
    assert trial.latest.metadata == {"nan": "NaN", "inf": "-Infinity", "scalar": 3.5, "deep": {"a": [1, None, True]}}
    with pytest.raises(TypeError, match="object is not a number"), trial.save(2, bad=object()):
        pass
    with pytest.raises(ValueError, match="put more into a file"), trial.save(2, text="x" * 4000):
        pass


def test_only_what_changed_is_sent(place, gcs):
    frozen = {f"frozen/{number}": noise(number, 400_000) for number in range(4)}
    trial = place.begin()
    for step in (1, 2):
        with trial.save(step) as folder:
            write(folder, {**frozen, "state": noise(f"state {step}", 400_000)})
    again = place.begin()
    with again.save(3) as folder:
        write(folder, {**frozen, "state": noise("state 3", 400_000)})
    if place.uri.startswith("gs"):
        assert gcs.requests["rewrite"] == 8
    first = trial.checkpoints[0]
    first.delete()
    with again.restore() as found:
        assert read(found.path) == {**frozen, "state": noise("state 3", 400_000)}


def test_one_byte_in_the_middle_is_a_change(place):
    before = bytearray(noise(1, 400_000))
    after = bytearray(before)
    after[200_000] ^= 1
    trial = place.begin()
    for step, data in enumerate((before, after)):
        with trial.save(step) as folder:
            write(folder, {"state": bytes(data)})
    with trial.restore() as found:
        assert read(found.path) == {"state": bytes(after)}


def test_a_copy_whose_source_is_gone_is_sent(place):
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, {"state": noise(1, 400_000)})
    place.vault.delete_tree(place.layout.data(trial.latest.name))
    with trial.save(2) as folder:
        write(folder, {"state": noise(1, 400_000)})
    with trial.restore() as found:
        assert read(found.path) == {"state": noise(1, 400_000)}


# Attempts side by side


def test_a_replaced_attempt_saves_nothing(place, saved):
    zombie = place.begin()
    saved(zombie, 10)
    newer = place.begin()
    with pytest.raises(Superseded, match=r"Attempt 1 .*: attempt 2 has begun"):
        saved(zombie, 20)
    assert zombie.stopping()
    assert zombie.stop_reason == "superseded"
    with pytest.raises(Superseded):
        zombie.exit_if_stopping()
    assert newer.latest.step == 10
    assert not newer.stopping()


@pytest.mark.parametrize("step", [5, 10, 20])
def test_a_commit_that_slips_past_the_fence_is_not_seen(place, saved, step, monkeypatch):
    zombie = place.begin()
    saved(zombie, 10)
    newer = place.begin()
    monkeypatch.setattr(zombie._fence, "holds", lambda: True)
    saved(zombie, step)
    assert [each.step for each in newer.checkpoints] == [10]
    saved(newer, 11)
    assert newer.latest.step == 11


def test_what_is_saved_while_the_next_one_begins_is_not_lost(place, saved):
    """It looked, then the old one committed, then it took its number."""
    old = place.begin()
    saved(old, 10)
    write_once = place.vault.write

    def late(uri, data, **options):
        if uri == place.layout.attempt(2) and old.latest.step == 10:
            saved(old, 20)
        write_once(uri, data, **options)

    place.vault.write = late
    try:
        newer = place.begin()
    finally:
        del place.vault.write
    assert newer.attempt == 3
    assert newer.latest.step == 20
    with newer.restore() as found:
        assert found.step == 20
    record = json.loads(place.vault.read(place.layout.attempt(3)))
    assert record["parent"]["attempt"] == 1


def test_sixteen_starters_have_sixteen_numbers(place):
    trials = []
    threads = [threading.Thread(target=lambda: trials.append(place.begin())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(trial.attempt for trial in trials) == list(range(1, 17))


def test_a_second_process_of_one_attempt_is_told_apart(place):
    trial = place.begin()
    with pytest.raises(RuntimeError, match="only one process"), trial.save(1):
        place.vault.write(place.layout.commit("000000000001-a0001-0001"), b"{}")
    place.vault.delete(place.layout.commit("000000000001-a0001-0001"))


@IN_CLOUD_STORAGE
def test_training_goes_on_when_the_store_was_away(place, gcs, saved):
    """Longer than anybody waits: the save raises, and a later one is whole."""
    trial = place.begin()
    saved(trial, 1)
    trial._saver._background.submit(int).result()
    trial._vault._session.patience = 0.5
    gcs.fail("insert", times=1000)
    with pytest.raises(OSError, match="503"):
        saved(trial, 2)
    gcs.faults.clear()
    assert trial.latest.step == 1
    saved(trial, 3)
    assert [each.step for each in trial.checkpoints] == [1, 3]
    assert len(place.vault.folders(f"{place.uri}/checkpoints")) >= 2
    again = place.begin()
    assert len(place.vault.folders(f"{place.uri}/checkpoints")) == 2
    assert again.latest.step == 3


@pytest.mark.parametrize("kind", ["insert", "rewrite", "list", "download", "stat"])
def test_passing_trouble_is_not_noticed(place, gcs, kind):
    trial = place.begin()
    for step in (1, 2):
        gcs.fail(kind, times=2)
        with trial.save(step) as folder:
            write(folder, {"state": noise("same", 400_000), "small": b"1"})
    gcs.faults.clear()
    gcs.fail(kind, times=2)
    with place.begin().restore() as found:
        assert found.step == 2
    gcs.faults.clear()


@IN_CLOUD_STORAGE
def test_four_small_objects_are_added_to_the_files(place, gcs, saved):
    trial = place.begin()
    saved(trial, 1)
    trial._saver._background.submit(int).result()
    before = gcs.requests.copy()
    with trial.save(2) as folder:
        write(folder, {str(number): b"1" for number in range(5)})
    assert gcs.requests["insert"] - before["insert"] == 5 + 4  # metadata, manifest, commit, and a mark for Orbax


def test_many_small_files(tmp_path):
    from airflow_provider_kinetic.job.training.retention import Keep
    from airflow_provider_kinetic.job.training.trials import Trial

    with Trial(path_to_uri(tmp_path / "out"), Keep()) as trial:
        with trial.save(1) as folder:
            for number in range(2_000):
                (folder / str(number)).write_bytes(str(number).encode())
        with trial.restore() as found:
            assert len(read(found.path)) == 2_000


# Others in the same folder


def test_steps_of_orbax_are_listed_and_left_alone(place, saved):
    trial = place.begin()
    saved(trial, 10)
    for name in ("30/commit_success.txt", "30/default/d/1", "40.orbax-checkpoint-tmp/d"):
        place.vault.write(below(place.uri, f"checkpoints/{name}"), b"1")
    assert [(each.step, each.kind) for each in trial.checkpoints] == [(10, "kinetic"), (30, "orbax")]
    assert trial.latest.step == 30
    with pytest.raises(ConfigurationError, match="Orbax"):
        trial.latest.delete()
    again = place.begin()
    saved(again, 31)
    assert "checkpoints/40.orbax-checkpoint-tmp/d" in place.names("checkpoints")
    record = json.loads(place.vault.read(place.layout.attempt(2)))
    assert record["parent"]["checkpoint"]["step"] == 30


def test_a_checkpoint_can_be_taken_elsewhere(place, saved, tmp_path):
    trial = place.begin()
    saved(trial, 3, loss=1.0)
    folder = trial.latest.download(tmp_path / "copy")
    assert (folder / "state").read_bytes() == b"3"
    assert json.loads((folder / "metadata.json").read_text()) == {"steps_completed": 3, "loss": 1.0}
    with trial.latest.open() as path:
        assert (path / "state").read_bytes() == b"3"


def test_what_lay_there_before_is_replaced(place, saved, tmp_path):
    write(target := tmp_path / "old", {"state": b"longer than what comes"})
    (target / "metadata.json").symlink_to(tmp_path / "not mine")
    (tmp_path / "not mine").write_bytes(b"stays")
    saved(trial := place.begin(), 1)
    assert (trial.latest.download(target) / "state").read_bytes() == b"1"
    assert (tmp_path / "not mine").read_bytes() == b"stays"


def test_only_the_files_that_were_asked_for_are_fetched(place):
    trial = place.begin()
    with trial.save(1) as folder:
        write(folder, {"a/1": b"1", "b/2": b"2"})
    with trial.restore(select=lambda path: path.startswith("a/")) as found:
        assert read(found.path) == {"a/1": b"1"}


def test_the_best_is_by_a_number(place, saved):
    trial = place.begin()
    for step, loss in enumerate([0.5, math.nan, 0.2, 0.2, math.inf]):
        saved(trial, step, loss=loss)
    saved(trial, 9)
    assert trial.best("loss").step == 3
    assert trial.best("loss", "max").step == 4
    assert trial.best("accuracy") is None
    with pytest.raises(ValueError, match="min"):
        trial.best("loss", "most")


def test_a_trial_of_a_relative_folder(tmp_path, monkeypatch):
    from airflow_provider_kinetic import job

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KINETIC_OUTPUT_DIR", raising=False)
    trial = job.trial()
    assert trial is job.trial("kinetic-output")
    with trial.save(1) as folder:
        write(folder, {"a": b"1"})
    trial.close()
    assert trial.dir == path_to_uri(tmp_path / "kinetic-output")
    again = job.trial()
    assert again is not trial
    assert again.attempt == 2
    again.close()
    end = json.loads((tmp_path / "kinetic-output/.kinetic/attempts/0001.end.json").read_text())
    assert (end["state"], end["checkpoint"]["step"]) == ("COMPLETED", 1)
