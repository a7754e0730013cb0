"""Stops under ``jax.distributed``, which says yes at one step alone, whatever steps the loop asks about."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from frameworks import ROOT, Script
from orbax_places import Place

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.vaults import FileVault

TRAINING = ROOT / "tests" / "support" / "jax_training.py"


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(path_to_uri(tmp_path / "out"), FileVault())


@pytest.fixture
def training(script: Callable[..., Script], here: Place) -> Callable[..., Script]:
    return lambda **how: script(TRAINING, json.dumps({"dir": here.uri, **how}))


def left(training: Script) -> int:
    return int(training.wait_for("left at").rpartition(" ")[2])


@pytest.mark.parametrize("order", ["period first", "question first"])
@pytest.mark.parametrize("every", [1, 10])
def test_a_step_that_is_saved_anyway_is_one_to_leave_at(
    here: Place, training: Callable[..., Script], every: int, order: str
) -> None:
    """JAX's step is 10: it is not asked about by a loop that looks at the period first."""
    first = training(every=every, order=order, stop_after=9)
    assert first.end() == 143, first.output
    assert left(first) == 10
    assert here.record("attempts/0001.end.json")["checkpoint"]["step"] == 10


def test_a_stop_before_the_first_question_is_heard_by_it(here: Place, training: Callable[..., Script]) -> None:
    """While it restores or compiles."""
    assert training(every=5, steps=40).end() == 0
    second = training(every=100, stop_after=40)
    assert second.end() == 143, second.output
    assert left(second) == 41
    assert here.record("attempts/0002.end.json")["checkpoint"]["step"] == 41


def test_two_processes_leave_at_one_step(here: Place, training: Callable[..., Script]) -> None:
    """Most steps are saved, so few are asked about."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [training(every=2, steps=10**6, address=address, process=each, processes=2) for each in (0, 1)]
    for each in both:
        each.wait_for("saved 4")
    both[1].process.send_signal(signal.SIGTERM)
    assert [each.end() for each in both] == [143, 143], "".join(each.output for each in both)
    assert left(both[0]) == left(both[1])
    assert here.record("attempts/0001.end.json")["checkpoint"]["step"] == left(both[0])
