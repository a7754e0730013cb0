"""Killed at any point, a trial goes on from its last commit, and nothing is left of what was broken off."""

from __future__ import annotations

import random
import signal
import time

import pytest
from trainings import check, told

from airflow_provider_kinetic.job.training.lineage import Name

POINTS = [
    "write attempt",
    "write .kinetic/trial.json",
    "copy file",
    "send file",
    "write manifest",
    "write segment",
    "list attempt",
    "write commit",
    "write tombstone",
    "delete commit",
    "delete_tree data",
    "delete pin",
    "delete tombstone",
]

ONCE = ("write attempt", "write .kinetic/trial.json")
"""Of one attempt."""


def quick(point, nth):
    """One of the points is looked at whenever the quick tests run."""
    return point == "write commit" and nth == 1


CASES = [
    pytest.param(point, nth, when, marks=() if quick(point, nth) else pytest.mark.kills)
    for point in POINTS
    for nth in (1, 5)
    for when in ("before", "after")
    if nth == 1 or point not in ONCE
]


@pytest.mark.parametrize(("point", "nth", "when"), CASES)
def test_killed_at_a_point(place, training, point, nth, when):
    process = training(point, nth, when)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    check(place, told(output, "committed"))
    process = training()
    output, _ = process.communicate()
    assert process.returncode == 0
    check(place, told(output, "committed"))


@pytest.mark.kills
@pytest.mark.timeout(600)
def test_killed_at_random_times(place, training):
    """Steps never go back below the last commit, the series is 1..n once each, every checkpoint that is seen restores
    bit for bit, and nothing else is left: see :func:`check`."""
    chance, committed, resumed = random.Random(5), 0, 0
    for number in range(1, 61):
        process = training()
        assert process.stdout is not None
        resumed = told(process.stdout.readline(), "resumed")
        assert resumed >= committed
        said = [process.stdout.readline() for _ in range(chance.randrange(5))]  # busy or not, it goes on
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        said.append(process.stdout.read())
        committed = max(resumed, told("".join(said), "committed"))
        if number % 15 == 0:
            check(place, committed)
    assert committed > 60
    attempts = {Name.parse(each.name).attempt for each in place.attempts[-1].checkpoints}
    assert max(attempts) > 30
