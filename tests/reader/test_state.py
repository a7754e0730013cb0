"""What people are told of a trial: how it is, how often it was disturbed, and what that cost."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gcs_server import GcsServer

from airflow_provider_kinetic.job.training.attempts import Records
from airflow_provider_kinetic.job.training.retention import delete
from airflow_provider_kinetic.lifecycle.reader import AsyncTrialReader, TrialReader
from airflow_provider_kinetic.lifecycle.reader_facts import TrialState
from airflow_provider_kinetic.model.errors import Preempted
from airflow_provider_kinetic.stores.local import LocalStore

Save = Callable[..., str]

PAUSE = 0.4
"""Seconds of work that is lost."""


def test_what_has_not_begun(place: Any) -> None:
    reader = place.reader()
    assert reader.state() == TrialState("PENDING")
    assert reader.attempts() == []
    assert reader.checkpoints() == []
    assert reader.latest() is None
    assert reader.rows() == []
    assert reader.metrics() == {"step": None, "series": {}}


def test_a_trial_that_runs(place: Any, saved: Save) -> None:
    trial = place.begin()
    saved(trial, 4)
    trial.log({"loss": 0.5, "late": math.inf}, step=7)
    trial._metrics.flush()
    trial._metrics.summarize()
    trial.progress(0.25)
    trial.status("warming up")
    trial._heartbeat.beat()

    state = place.reader().state()

    assert (state.state, state.attempt, state.attempts, state.step) == ("RUNNING", 1, 1, 7)
    assert (state.progress, state.status) == (0.25, "warming up")
    assert state.metrics == {"train/loss": 0.5, "train/late": "Infinity"}
    assert state.heartbeat_age is not None
    assert 0 <= state.heartbeat_age < 5
    assert (state.preemptions, state.lost_seconds, state.story()) == (0, 0.0, "")


def test_a_trial_that_ended_well(place: Any) -> None:
    with place.begin() as trial:
        trial.log({"loss": 0.5}, step=3)
    state = place.reader().state()
    assert (state.state, state.step, state.heartbeat_age, state.lost_seconds) == ("COMPLETED", 3, None, 0.0)
    (attempt,) = place.reader().attempts()
    assert attempt.ended is not None
    assert 0 < attempt.started <= attempt.ended < time.time() + 5
    assert (attempt.state, attempt.resumed_from) == ("COMPLETED", None)


def test_work_is_lost_from_the_last_checkpoint_to_the_end(place: Any, saved: Save) -> None:
    longest = []
    for step, pause in ((10, PAUSE), (20, 0.0)):  # the second one saves in time
        trial, begun = place.begin(), time.monotonic()
        saved(trial, step)
        time.sleep(pause)
        trial.close(Preempted())
        longest.append(time.monotonic() - begun)
    third = place.begin()

    one, two, three = place.reader().attempts()
    assert [one.state, two.state, three.state] == ["PREEMPTED", "PREEMPTED", "RUNNING"]
    assert PAUSE - 0.02 <= one.lost_seconds <= longest[0]
    assert two.lost_seconds <= longest[1]
    assert three.lost_seconds == 0
    assert (two.resumed_from or {})["step"] == 10
    assert (three.resumed_from or {})["step"] == 20
    state = place.reader().state()
    assert state.preemptions == 2
    assert state.lost_seconds == one.lost_seconds + two.lost_seconds
    assert state.story().startswith("preempted 2 times, lost ")
    third.close()


def test_what_was_lost_stays_known_when_the_checkpoint_is_gone(place: Any, saved: Save) -> None:
    first = place.begin()
    begun = time.monotonic()
    name = saved(first, 10)
    time.sleep(PAUSE)
    first.close(Preempted())
    longest = time.monotonic() - begun
    second = place.begin()
    saved(second, 20)
    (found,) = [each for each in second.checkpoints if each.name == name]
    delete(place.vault, place.layout, found.name)
    assert PAUSE - 0.02 <= place.reader().attempts()[0].lost_seconds <= longest


def test_a_failure_before_the_first_checkpoint_costs_everything(place: Any) -> None:
    trial = place.begin()
    time.sleep(PAUSE)
    trial.close(ValueError("no"))
    state = place.reader().state()
    assert (state.state, state.reason, state.preemptions) == ("FAILED", "ValueError: no", 0)
    assert state.lost_seconds >= PAUSE - 0.02
    assert replace(state, lost_seconds=3.2).story() == "lost 3 s of work"


def test_one_that_vanished_was_preempted_if_its_job_came_back(place: Any) -> None:
    for job_id in ("job-1", "job-1", "job-2"):
        Records(place.uri, job_id, place.vault).begin({})
    attempts = place.reader().attempts()
    assert [each.state for each in attempts] == ["PREEMPTED", "LOST", "RUNNING"]
    assert [each.job_id for each in attempts] == ["job-1", "job-1", "job-2"]
    assert attempts[0].reason
    assert attempts[0].ended is not None
    assert place.reader().state().preemptions == 1


def test_what_an_attempt_did_after_its_last_checkpoint_is_lost_when_it_vanishes(place: Any, saved: Save) -> None:
    trial = place.begin()
    saved(trial, 1)
    time.sleep(PAUSE)
    trial.log({"loss": 1.0}, step=2)
    trial._metrics.flush()
    place.begin()
    assert place.reader().attempts()[0].lost_seconds >= PAUSE - 0.02


def test_a_number_that_was_given_back_is_no_attempt(place: Any) -> None:
    place.begin()
    record = json.loads(place.vault.read(place.layout.attempt(1)))
    place.vault.write(place.layout.attempt(2), json.dumps({**record, "attempt": 2}).encode())
    assert [each.number for each in place.reader().attempts()] == [2]


def test_silence_is_told_by_the_clock_of_the_store(gcs: GcsServer, place: Any) -> None:
    ahead = 0.0
    if place.uri.startswith("file"):

        class Later(LocalStore):
            def now(self, uri: str) -> float:
                return super().now(uri) + ahead

        place.store = Later()
    trial = place.begin()
    trial._heartbeat.beat()

    def pass_by(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds
        gcs.buckets["tests"].grow_old(seconds)

    pass_by(280)
    assert place.reader().state().state == "RUNNING"
    pass_by(400)
    state = place.reader().state()
    assert state.state == "LOST"
    assert state.heartbeat_age is not None
    assert state.heartbeat_age > 300
    assert place.reader().attempts()[0].reason


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_code_that_gives_no_sign_of_life_is_not_called_lost(gcs: GcsServer, place: Any) -> None:
    """Plain Orbax code has no heartbeat."""
    Records(place.uri, "job-1", place.vault).begin({})
    gcs.buckets["tests"].grow_old(10_000)
    state = place.reader().state()
    assert (state.state, state.heartbeat_age) == ("RUNNING", None)


def test_stories() -> None:
    quiet = TrialState("RUNNING")
    assert quiet.story() == ""
    assert replace(quiet, preemptions=1).story() == "preempted 1 time, lost 0 s of work"
    assert replace(quiet, preemptions=2, lost_seconds=40.2).story() == "preempted 2 times, lost 40 s of work"
    assert replace(quiet, lost_seconds=1800).story() == "lost 30 min of work"
    assert replace(quiet, preemptions=3, lost_seconds=9000).story() == "preempted 3 times, lost 2.5 h of work"


def test_event_loops_read_in_a_thread(place: Any, saved: Save) -> None:
    with place.begin() as trial:
        trial.log({"loss": 0.5}, step=1)
        saved(trial, 1, loss=0.5)

    async def ask() -> tuple[Any, ...]:
        reader = AsyncTrialReader(place.store, place.uri)
        assert (await reader.tail()).rows == await reader.rows()
        assert await reader.latest() == await reader.best("loss")
        assert len(await reader.attempts()) == len(await reader.checkpoints()) == 1
        return await reader.state(), await reader.metrics()

    plain: TrialReader = place.reader()
    assert asyncio.run(ask()) == (plain.state(), plain.metrics())
