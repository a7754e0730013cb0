"""A training that was killed, as it is seen from outside: while it lies there, and when it has gone on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import killed_training
import pytest


def train(place: Any, *death: str) -> int:
    support = Path(killed_training.__file__).parent
    environ = {**os.environ, "PYTHONPATH": f"{support}:{support.parent.parent}"}
    command = [sys.executable, killed_training.__file__, place.uri, *death]
    return subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, timeout=100).returncode


@pytest.mark.kills
def test_a_killed_training_and_its_successor(place: Any) -> None:
    assert train(place, "write commit", "6", "before") == -signal.SIGKILL
    reader = place.reader()
    found = {each.step: each.state for each in reader.checkpoints()}
    assert found.pop(6) == "ACTIVE"  # nobody knows yet that it is over
    assert set(found.values()) <= {"COMPLETED", "DELETED"}
    assert reader.latest().step == 5
    assert reader.state().state == "RUNNING"
    cursor = reader.tail().cursor

    assert train(place) == 0
    one, two = reader.attempts()
    assert (one.state, two.state) == ("LOST", "COMPLETED")
    assert two.resumed_from["step"] == 5
    assert one.started <= one.ended <= two.started
    state = reader.state()
    assert (state.state, state.step, state.attempt, state.attempts) == ("COMPLETED", 17, 2, 2)
    assert {each.state for each in reader.checkpoints()} == {"COMPLETED"}
    rows = [row for row in reader.rows() if row.group == "train"]
    assert [row.step for row in rows] == [*range(1, 18)]
    tail = reader.tail(cursor)
    assert tail.fresh
    assert tail.rows == reader.rows()
    assert state.metrics["train/loss"] == killed_training.loss(17)
