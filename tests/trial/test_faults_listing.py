"""Listings that are late, as those of caches and mounted buckets are: older at worst, never wrong."""

from __future__ import annotations

import threading
import time

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, read, write
from gcs_server import GcsServer

from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.series import read_rows

LAG = 0.4

pytestmark = IN_CLOUD_STORAGE


@pytest.fixture(autouse=True)
def late(gcs: GcsServer) -> None:
    gcs.buckets["tests"].lag = LAG


def test_starters_take_different_numbers_and_do_not_spin(place, gcs):
    trials = []
    threads = [threading.Thread(target=lambda: trials.append(place.begin())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(trial.attempt for trial in trials) == list(range(1, 9))
    # Each number that was taken costs one look: 8 + 7 + ... + 1 at most.
    assert gcs.requests["insert"] < 8 * 12


def test_the_next_attempt_goes_on_from_what_it_sees(place):
    """Whatever it misses belongs to nobody: neither its checkpoints nor its rows come back later."""
    first, reached = place.begin(), 0
    for attempt in range(1, 6):
        trial = place.begin() if attempt > 1 else first
        with trial.restore() as found:
            start = int(read(found.path)["state"]) if found else 0
        assert start <= reached
        for step in range(start + 1, start + 4):
            trial.log({"loss": step}, step=step)
            with trial.save(step) as folder:
                write(folder, {"state": str(step).encode()})
            reached = step
            time.sleep(0.06)
    trial.close()
    time.sleep(LAG + 0.1)
    last = place.begin()
    assert last.latest.step == reached
    for each in last.checkpoints:
        with trial.restore(each) as found:
            assert read(found.path) == {"state": str(each.step).encode()}
    rows = read_rows(place.vault, place.layout)
    assert [(row.step, row.values) for row in rows] == [(step, {"loss": step}) for step in range(1, reached + 1)]
    assert all(Name.parse(each.name) for each in last.checkpoints)


def test_what_was_not_seen_at_the_start_is_not_seen_later(place, gcs, saved):
    """Also while the attempt's own record is not listed yet."""
    gcs.buckets["tests"].lag = 1.0
    saved(place.begin(), 7)
    shown = time.monotonic() + 1.1
    time.sleep(0.5)
    trial = place.begin()
    time.sleep(max(0.0, shown - time.monotonic()))
    with trial.restore() as found:
        assert found is None
    assert trial.checkpoints == []


def test_a_replaced_attempt_is_told_apart_however_late(place, saved):
    zombie = place.begin()
    time.sleep(LAG + 0.1)
    newer = place.begin()
    saved(zombie, 5)  # the fence does not see the newer one yet
    saved(newer, 1)
    time.sleep(LAG + 0.1)
    assert zombie._fence.holds() is False
    assert [each.step for each in newer.checkpoints] == [1]
