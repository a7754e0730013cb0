"""A save that failed in the background: it costs neither the next one, nor the end of an attempt that must stop."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, read, write

from airflow_provider_kinetic.job.training.saving import NotSaved
from airflow_provider_kinetic.model.errors import Preempted

pytestmark = IN_CLOUD_STORAGE


@pytest.fixture
def away(gcs):
    """``away(trial)``: from now on the store refuses, until ``gcs.faults.clear()``."""

    def refuse(trial):
        trial._vault._session.patience = 0.1
        gcs.fail("insert", times=10_000)

    return refuse


def fill(trial, step, wait=True):
    with trial.save(step, wait=wait) as folder:
        write(folder, {"state": str(step).encode()})


def fail_behind(trial, step):
    """In the background, and nobody has heard of it."""
    fill(trial, step, wait=False)
    trial._saver._background.submit(int).result()


@pytest.mark.parametrize("wait", [True, False])
def test_the_next_one_is_stored_before_anybody_hears_of_it(place, gcs, away, scratch, wait):
    trial = place.begin()
    fill(trial, 1)
    away(trial)
    fail_behind(trial, 2)
    gcs.faults.clear()
    with pytest.raises(NotSaved, match=r"step 2 is not saved.*503"):
        fill(trial, 3, wait)
    assert [each.step for each in trial.checkpoints] == [1, 3]
    assert list(scratch.iterdir()) == []
    fill(trial, 4)
    assert trial.latest.step == 4, "it is said once"


def test_when_both_fail_both_are_named_and_both_stay_here(place, gcs, away, scratch):
    trial = place.begin()
    away(trial)
    fail_behind(trial, 2)
    with pytest.raises(NotSaved, match=r"step 3 is not saved.*step 2 is not saved") as failed:
        fill(trial, 3)
    named = [Path(each) for each in re.findall(r"stay in (\S+) until", str(failed.value))]
    assert [read(each) for each in named] == [{"state": b"3"}, {"state": b"2"}]
    assert sorted(scratch.iterdir()) == sorted(named)
    gcs.faults.clear()
    fill(trial, 4)
    assert list(scratch.iterdir()) == []


@pytest.fixture
def stop(tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    monkeypatch.setenv("KINETIC_STOP_FILE", str(marker))
    return lambda: marker.write_text(str(time.monotonic()))


def leave(trial, last):
    if last != "none":
        fill(trial, 3, wait=last == "waited for")
    trial.exit_if_stopping()


@pytest.mark.parametrize("last", ["none", "in the background", "waited for"])
def test_who_must_stop_leaves_as_preempted_all_the_same(place, gcs, away, stop, last):
    trial = place.begin()
    fill(trial, 1)
    away(trial)
    fail_behind(trial, 2)
    stop()
    assert trial.stopping(3)
    with pytest.warns(UserWarning, match=r"step 2 is not saved.*It is given up"), pytest.raises(Preempted):
        leave(trial, last)
    gcs.faults.clear()
    assert trial.latest.step == 1
    fill(trial, 4)


def test_a_stop_that_comes_while_a_save_fails_is_no_failure_either(place, gcs, away, stop):
    trial = place.begin()
    away(trial)
    with pytest.warns(UserWarning, match="step 1 is not saved"), trial.save(1):
        stop()
    gcs.faults.clear()
    fill(trial, 2)


def test_without_a_stop_it_is_one(place, gcs, away):
    trial = place.begin()
    away(trial)
    with pytest.raises(NotSaved):
        fill(trial, 1)
    gcs.faults.clear()
    fill(trial, 2)
