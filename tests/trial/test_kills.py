"""Killed at any point, a trial goes on from its last commit, and nothing is left of what was broken off."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed_training
import pytest
from checkpoint_files import read
from killed_training import KEEP, files, loss

from airflow_provider_kinetic.job.lineage import Name
from airflow_provider_kinetic.job.series import read_rows

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


@pytest.fixture
def training(place, scratch):
    """Starts the loop; what a killed process leaves on its machine goes with the machine."""
    running = []

    def start(*death):
        support = Path(killed_training.__file__).parent
        environ = {**os.environ, "PYTHONPATH": f"{support}:{support.parent.parent}"}
        command = [sys.executable, killed_training.__file__, place.uri, *map(str, death)]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()
    for left in scratch.iterdir():
        for path in sorted(left.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        left.rmdir()


def told(output, word):
    """The last number behind a word; a line that was broken off says nothing."""
    found = re.findall(rf"^{word} (\d+)\n", output, re.MULTILINE)
    return int(found[-1]) if found else 0


def check(place, committed):
    """What every attempt may rely on, and what is left in the store after it cleared up."""
    trial = place.begin(KEEP)
    checkpoints = trial.checkpoints
    assert max((each.step for each in checkpoints), default=0) >= committed
    for each in checkpoints:
        with trial.restore(each) as found:
            assert read(found.path) == files(each.step)
    with trial.restore() as found:
        assert (found.step if found else 0) == max((each.step for each in checkpoints), default=0)
    last = max((each.step for each in checkpoints), default=0)
    rows = [row for row in read_rows(place.vault, place.layout) if row.step <= last]
    trained = [(row.step, row.values) for row in rows if row.group == "train"]
    assert trained == [(step, {"loss": loss(step)}) for step in range(1, last + 1)]
    assert [row.step for row in rows if row.group == "validation"] == list(range(1, last + 1, 2))
    commits = {name.rpartition("/")[2][: -len(".json")] for name in place.names(".kinetic/checkpoints/")}
    data = set(place.vault.folders(f"{place.uri}/checkpoints"))
    assert data == commits == {each.name for each in checkpoints}
    assert place.names(".kinetic/tombstones/") == []
    trial.close()


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
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    check(place, told(output, "committed"))
    process = training()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    check(place, told(output, "committed"))


@pytest.mark.kills
@pytest.mark.timeout(600)
def test_killed_at_random_times(place, training):
    chance, committed, resumed = random.Random(5), 0, 0
    for _ in range(60):
        process = training()
        assert process.stdout is not None
        line = process.stdout.readline()
        resumed = told(line, "resumed")
        assert resumed >= committed
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        output, _ = process.communicate()
        committed = max(resumed, told(output, "committed"))
    check(place, committed)
    assert committed > 60
    attempts = {Name.parse(each.name).attempt for each in place.attempts[-1].checkpoints}
    assert max(attempts) > 30
