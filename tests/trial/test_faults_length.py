"""Long trials: a save costs the same after 500 attempts and after 100,000 steps, and nothing grows without bound."""

from __future__ import annotations

import json

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, write

from airflow_provider_kinetic.job import Keep
from airflow_provider_kinetic.job.training.series import Row
from airflow_provider_kinetic.job.training.summary import POINTS, Summary

ATTEMPTS = 500


@pytest.fixture
def old(place):
    """So many attempts are over."""
    for number in range(1, ATTEMPTS + 1):
        parent = {"attempt": number - 1, "checkpoint": None, "seq": 0} if number > 1 else None
        record = {"v": 1, "attempt": number, "parent": parent}
        place.vault.write(place.layout.attempt(number), json.dumps(record).encode())
        place.vault.write(place.layout.attempt_end(number), b'{"v": 1, "state": "PREEMPTED"}')
    return place


@IN_CLOUD_STORAGE
def test_a_save_asks_for_no_old_records(old, gcs):
    trial = old.begin(Keep(latest=2))
    begun = gcs.requests["download"]
    assert begun < ATTEMPTS + 20, "each once"

    def requests(step):
        before = gcs.requests.copy()
        with trial.save(step) as folder:
            write(folder, {"state": str(step).encode()})
        trial._saver._background.submit(int).result()
        return gcs.requests - before

    for step in range(1, 6):
        counted = requests(step)
    assert counted["download"] == 0
    assert sum(counted.values()) < 25, counted
    assert requests(6) == counted
    trial.log({"loss": 1}, step=6)
    trial._metrics.flush()
    before = gcs.requests["download"]
    trial._metrics.summarize()
    trial._metrics.summarize()
    assert gcs.requests["download"] - before < 5


def test_what_is_known_of_deleted_checkpoints_is_forgotten(place):
    trial = place.begin(Keep(latest=2))
    for step in range(1, 60):
        with trial.save(step) as folder:
            write(folder, {"state": b"1"})
    trial._saver._background.submit(int).result()
    assert [each.step for each in trial.checkpoints] == [58, 59]
    assert len(trial._shelf._commits._known) <= 3


def test_a_summary_of_100_000_steps_is_as_large_as_one_of_a_thousand():
    summary = Summary(1, (Row(0, step, "train", {"loss": 1 / step}, 1) for step in range(1, 100_001)))
    (curve,) = summary.to_dict()["series"].values()
    assert curve["count"] == 100_000
    assert len(curve["points"]) <= POINTS
