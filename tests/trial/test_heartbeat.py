"""A trial says that it lives and how far it is; trouble with that is no trouble of the training."""

from __future__ import annotations

import json
import time
import warnings

import pytest
from checkpoint_files import IN_CLOUD_STORAGE

from airflow_provider_kinetic.job.training import heartbeat


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "FIRST", 0.02)
    monkeypatch.setattr(heartbeat, "EVERY", 0.02)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def told(place):
    if place.layout.heartbeat not in place.vault.list(place.layout.heartbeat):
        return {}
    return json.loads(place.vault.read(place.layout.heartbeat))


def test_it_says_how_far_the_training_is(place):
    trial = place.begin()
    until(lambda: told(place).get("attempt") == 1)
    assert told(place) | {"t": 0} == {"v": 1, "attempt": 1, "t": 0, "step": None, "progress": None, "status": ""}
    trial.status("warming up")
    trial.progress(0.25)
    trial.log({"loss": 1}, step=7)
    until(lambda: told(place).get("step") == 7)
    found = told(place)
    assert (found["progress"], found["status"], abs(found["t"] - time.time()) < 60) == (0.25, "warming up", True)


def test_who_only_saves_gets_on_as_well(place, saved):
    trial = place.begin()
    saved(trial, 9)
    until(lambda: told(place).get("step") == 9)


def test_the_last_words_are_written(place, monkeypatch):
    monkeypatch.setattr(heartbeat, "FIRST", 60)
    trial = place.begin()
    trial.progress(1)
    trial.status("x" * 9999)
    trial.close()
    found = told(place)
    assert (found["progress"], found["status"]) == (1.0, "x" * heartbeat.LONGEST)


def test_who_has_nothing_to_say_is_closed_for_nothing(place, monkeypatch):
    monkeypatch.setattr(heartbeat, "FIRST", 60)
    place.begin().close()
    assert told(place) == {}


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_progress_is_a_fraction(place, fraction):
    with pytest.raises(ValueError, match="from 0 to 1"):
        place.begin().progress(fraction)


def test_a_replaced_attempt_learns_of_it_and_is_silent(place):
    zombie = place.begin()
    until(lambda: told(place).get("attempt") == 1)
    newer = place.begin()
    until(zombie.stopping)
    assert zombie.stop_reason == "superseded"
    until(lambda: told(place)["attempt"] == 2)
    zombie.progress(0.9)
    zombie._heartbeat.beat()
    zombie.close()
    assert told(place)["attempt"] == 2
    assert told(place)["progress"] is None
    assert not newer.stopping()


def test_trouble_is_said_once_until_it_is_over(place, monkeypatch):
    monkeypatch.setattr(heartbeat, "FIRST", 60)
    trial = place.begin()
    beat = trial._heartbeat.beat
    for _ in range(2):
        with monkeypatch.context() as broken:
            broken.setattr(place.vault, "write", lambda *_, **__: 1 / 0)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                beat(), beat(), beat()
            assert [str(each.message).partition(":")[0] for each in said] == [place.layout.heartbeat.partition(":")[0]]
            assert "cannot be written" in str(said[0].message)
        beat()
    assert told(place)["attempt"] == 1


@IN_CLOUD_STORAGE
@pytest.mark.parametrize("status", [429, 403])
def test_a_bucket_that_refuses_does_not_disturb_the_training(place, gcs, status, monkeypatch):
    """Too many writes of one object, or none allowed."""
    monkeypatch.setattr(heartbeat, "FIRST", 60)
    trial = place.begin()
    monkeypatch.setattr(place.vault._session, "patience", 0.1)
    gcs.fail("insert", status=status, times=100)
    trial.progress(0.5)
    started = time.monotonic()
    with pytest.warns(UserWarning, match=f"cannot be written and is tried again.*{status}"):
        trial._heartbeat.beat()
    for step in range(100):
        trial.log({"loss": step}, step=step)
        trial.stopping(step)
    assert time.monotonic() - started < 3
    trial._heartbeat.close()
    assert told(place) == {}
    gcs.faults.clear()
