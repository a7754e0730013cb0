"""A machine whose clock is an hour off, or jumps: nothing that matters depends on it."""

from __future__ import annotations

import random
import time

import pytest
from trainings import check, told

pytestmark = pytest.mark.kills

CLOCKS = {
    "an hour ahead": "3600",
    "an hour behind": "-3600",
    "jumping": "random.choice((-3600, -1, 0, 40, 3600))",
}
CODE = """
import random, time
real, gmtime = time.time, time.gmtime
time.time = lambda: real() + {}
time.gmtime = lambda seconds=None: gmtime(time.time() if seconds is None else seconds)
"""


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_training_goes_on_by_any_clock(place, training, clock):
    """Each life with another one, so that later ones seem to be earlier."""
    chance, committed = random.Random(clock), 0
    for life in range(6):
        before = CODE.format(CLOCKS[clock]) if life % 2 else ""
        process = training(before=before)
        resumed = told("".join(process.stdout.readline() for _ in range(2)), "resumed")
        assert resumed >= committed
        said = [process.stdout.readline() for _ in range(chance.randrange(5))]
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        said.append(process.stdout.read())
        committed = max(resumed, told("".join(said), "committed"))
    process = training(before=CODE.format(CLOCKS[clock]))
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    check(place, told(output, "committed"))
