"""Saves in trouble: what is not noticed, what the training learns, what stays, and what a stop leaves out."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, read, write

from airflow_provider_kinetic.job.training.saving import NotSaved
from airflow_provider_kinetic.job.training.series import read_rows


def folders(scratch):
    return sorted(scratch.glob("kinetic-save-*"))


def save(trial, step, wait):
    with trial.save(step, wait=wait) as folder:
        write(folder, {"state": str(step).encode(), "a/b": b"1"})
    trial.wait()


@IN_CLOUD_STORAGE
@pytest.mark.parametrize("wait", [True, False])
def test_what_could_not_be_stored_stays_here_until_the_next_one_is(place, gcs, saved, scratch, wait):
    trial = place.begin()
    trial._vault._session.patience = 0.1
    gcs.fail("insert", times=10_000)
    for step in (1, 2):
        with pytest.raises(NotSaved, match=rf"step {step} is not saved.*503") as failed:
            save(trial, step, wait)
        named = Path(re.search(r"stay in (\S+) until", str(failed.value))[1])
        assert folders(scratch) == [named], "only the last one"
        assert read(named) == {"state": str(step).encode(), "a/b": b"1"}
    with pytest.raises(KeyError), trial.save(3):
        raise KeyError
    assert folders(scratch) == [named], "that was no trouble of the store"
    gcs.faults.clear()
    saved(trial, 4)
    assert folders(scratch) == []
    assert [each.step for each in trial.checkpoints] == [4]


@IN_CLOUD_STORAGE
def test_a_lost_answer_to_the_commit_is_our_own(place, gcs, saved, monkeypatch):
    """The request is repeated, and refused because the first one was served."""
    trial, write, served = place.begin(), place.vault.write, []

    def write_and_lose(uri, data, **options):
        lost = uri.startswith(place.layout.commits)
        before = gcs.requests["insert"]
        if lost:
            gcs.lose_reply("insert")
        write(uri, data, **options)
        if lost:
            served.append(gcs.requests["insert"] - before)

    monkeypatch.setattr(place.vault, "write", write_and_lose)
    saved(trial, 1)
    assert served == [2]
    assert trial.latest.step == 1
    assert len(place.names(".kinetic/checkpoints")) == 1


def test_a_commit_that_is_there_already_is_known_by_its_nonce(place, saved, monkeypatch):
    """As where a network file system repeats a call that it has served."""
    trial, write, served = place.begin(), place.vault.write, []

    def write_twice(uri, data, **options):
        if uri.startswith(place.layout.commits):
            write(uri, data, **options)
            served.append(uri)
        write(uri, data, **options)

    monkeypatch.setattr(place.vault, "write", write_twice)
    saved(trial, 1)
    assert served == [place.layout.commit("000000000001-a0001-0001")]
    assert trial.latest.step == 1
    assert len(place.names(".kinetic/checkpoints")) == 1


@IN_CLOUD_STORAGE
@pytest.mark.faults
@pytest.mark.parametrize("files", [1, 4])
def test_seven_refusals_during_a_save_are_not_noticed(place, gcs, files):
    """Of one request, or of several that go on at the same time."""
    trial = place.begin()
    gcs.fail("insert", times=7)
    before = gcs.requests["insert"]
    with trial.save(1) as folder:
        write(folder, {str(number): b"1" for number in range(files)})
    assert gcs.requests["insert"] - before >= files + 4 + 7
    with place.begin().restore() as found:
        assert found.step == 1
        assert len(read(found.path)) == files


@IN_CLOUD_STORAGE
def test_rows_arrive_when_the_network_is_back(place, gcs, saved):
    """The save that failed for them is caught, and the training goes on."""
    trial = place.begin()
    trial._vault._session.patience = 0.1
    saved(trial, 1)
    gcs.fail("insert", times=10_000)
    for step in range(2, 200):
        trial.log({"loss": step}, step=step)
        if step % 50 == 0:
            with pytest.raises(OSError, match="503"), trial.save(step) as folder:
                write(folder, {"state": b"1"})
    gcs.faults.clear()
    saved(trial, 200)
    trial.close()
    newer = place.begin()
    assert [row.step for row in read_rows(place.vault, place.layout)] == list(range(2, 200))
    assert newer.latest.step == 200


@pytest.fixture
def stop(tmp_path, monkeypatch):
    """Asks the trial to stop, so many seconds before its process is ended."""
    marker = tmp_path / "marker"
    monkeypatch.setenv("KINETIC_STOP_FILE", str(marker))

    def ask(left):
        monkeypatch.setenv("KINETIC_STOP_GRACE", str(left / 0.8))
        return lambda: marker.write_text(str(time.monotonic()))

    return ask


@IN_CLOUD_STORAGE
def test_a_save_that_would_not_be_complete_in_time_is_left_out(place, gcs, saved, stop):
    now = stop(left=0.3)
    trial = place.begin()
    gcs.faults.latency = 0.2
    for step in (1, 2, 3):
        saved(trial, step)
    now()
    assert trial.stopping(4)
    before = gcs.requests["insert"]
    with pytest.warns(UserWarning, match=r"Step 4 is not saved: 0\.\d s are left"):
        saved(trial, 4)
    assert gcs.requests["insert"] == before
    with pytest.raises(SystemExit) as left:
        trial.exit_if_stopping()
    assert left.value.code == 143
    assert trial.latest.step == 3


@IN_CLOUD_STORAGE
def test_one_slow_save_does_not_cost_the_last_one(place, gcs, saved, stop):
    now = stop(left=5)
    trial = place.begin()
    saved(trial, 1)
    gcs.faults.latency = 0.3
    saved(trial, 2)
    gcs.faults.latency = 0.0
    trial._saver._took[-1] = 100.0
    now()
    saved(trial, 3)
    assert trial.latest.step == 3


@IN_CLOUD_STORAGE
def test_what_is_on_its_way_when_a_stop_comes_is_finished(place, gcs, stop):
    now = stop(left=10)
    trial = place.begin()
    gcs.faults.latency = 0.1
    with trial.save(1, wait=False) as folder:
        write(folder, {"state": b"1"})
    now()
    assert trial.stopping(2)
    with pytest.raises(SystemExit):
        trial.exit_if_stopping()
    gcs.faults.latency = 0.0
    assert trial.latest.step == 1
