"""Retention deletes what somebody is reading: the reader takes another one, and nothing sounds like damage."""

from __future__ import annotations

import threading
import time

import pytest
from checkpoint_files import noise, read, write

from airflow_provider_kinetic.job import Keep
from airflow_provider_kinetic.model.errors import CheckpointCorrupt


def saves(trial, steps):
    for step in steps:
        with trial.save(step) as folder:
            write(folder, {"state": noise(step, 300_000), "step": str(step).encode()})


def settled(trial):
    """What is done in the background after a save is done."""
    trial._saver._background.submit(int).result()


def test_one_that_was_deleted_since_it_was_listed_is_passed_over_silently(place, monkeypatch):
    """Warnings are errors here."""
    trial = place.begin(Keep(latest=1))
    saves(trial, [1])
    settled(trial)
    fetch, late = trial._vault.fetch, threading.Event()

    def slowly(uri, *args):
        if not late.is_set():  # it is listed, its manifest is read, and its first file is asked for
            late.set()
            saves(trial, [2, 3])
            settled(trial)
        return fetch(uri, *args)

    monkeypatch.setattr(trial._vault, "fetch", slowly)
    with trial.restore() as found:
        assert found.step == 3
        assert read(found.path) == {"state": noise(3, 300_000), "step": b"3"}


def test_one_that_was_named_says_that_it_was_deleted(place):
    trial = place.begin(Keep(latest=1))
    saves(trial, [1])
    first = trial.latest
    saves(trial, [2])
    settled(trial)
    assert [each.step for each in trial.checkpoints] == [2]
    with pytest.raises(CheckpointCorrupt, match=r"step 1, .* was deleted\.\nPin"), trial.restore(first):
        pass
    with pytest.raises(CheckpointCorrupt, match="was deleted"), first.open():
        pass


def test_readers_beside_a_training_that_deletes_all_the_time(place):
    trial, over, restored, failures = place.begin(Keep(latest=1)), threading.Event(), [], []
    saves(trial, [1])

    def reading():
        try:
            while not over.is_set():
                with trial.restore() as found:
                    assert read(found.path)["step"] == str(found.step).encode()
                    assert read(found.path)["state"] == noise(found.step, 300_000)
                    restored.append(found.step)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=reading) for _ in range(2)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + 1.5
    step = 1
    while time.monotonic() < deadline:
        step += 1
        saves(trial, [step])
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(set(restored)) > 3
