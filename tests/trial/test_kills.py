"""Killed at any point, a trial goes on from its last commit, and nothing is left of what was broken off."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from killed_training import Killing, train
from trainings import check, told

from airflow_provider_kinetic.job.training.lineage import Name

POINTS = [
    "write attempt",
    "write .kinetic/trial.json",
    "list commit",
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
    "write summary",
    "write end",
]

ONCE = ("write attempt", "write .kinetic/trial.json", "write summary", "write end")
"""Of one attempt."""
CHANGES = ("write", "send", "copy", "delete", "delete_tree")
ALIKE = {"write .kinetic/heartbeat.json", "write file"}
"""What nothing depends on; and Orbax's mark among the files, in Cloud Storage alone."""


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


def test_every_call_that_changes_the_store_is_among_the_points(place):
    vault = Killing(place.uri)
    train(place.uri, vault)
    changes = {point for point in vault.calls if point.split()[0] in CHANGES}
    assert changes - ALIKE == {point for point in POINTS if not point.startswith("list")}


SEED = "KINETIC_KILLS_SEED"
"""Kills as they were in a run that failed, as far as the machine allows."""
EARLY = 4
"""One life of so many ends before it has restored, while it looks around and takes its number."""


@pytest.mark.kills
@pytest.mark.timeout(600)
def test_killed_at_random_times(place, training):
    """Steps never go back below the last commit, the series is 1..n once each, every checkpoint that is seen restores
    bit for bit, and nothing else is left: see :func:`check`."""
    seed = int(os.environ.get(SEED) or random.randrange(10**6))
    try:
        kill_at_random_times(random.Random(seed), place, training)
    except BaseException as error:
        raise AssertionError(f"{SEED}={seed} makes the same kills") from error


def kill_at_random_times(chance, place, training):
    committed, begun, start = 0, 0, 0.0
    for number in range(1, 61):
        process = training()
        assert process.stdout.readline() == "begins\n"
        said, begins = "", time.monotonic()
        if number > 1 and not chance.randrange(EARLY):
            time.sleep(start * chance.random())
        else:
            said = process.stdout.readline()
            begun, start = begun + 1, time.monotonic() - begins
            assert told(said, "resumed") >= committed
            said += "".join(process.stdout.readline() for _ in range(chance.randrange(5)))  # busy or not, it goes on
            time.sleep(chance.uniform(0, 0.1))
        process.kill()
        said += process.stdout.read()
        committed = max(committed, told(said, "resumed"), told(said, "committed"))
        if number % 3 == 0:
            check(place, committed)
    assert committed > begun
    attempts = {Name.parse(each.name).attempt for each in place.attempts[-1].checkpoints}
    assert max(attempts) > 30
