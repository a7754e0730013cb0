"""JAX says at one number alone that all processes stop; whatever a loop asks, none misses it.

JAX is a stand-in here; `tests/frameworks` has the real one.
"""

from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace

import pytest
from checkpoint_files import ON_THIS_MACHINE

from airflow_provider_kinetic.job.training import leaving
from airflow_provider_kinetic.job.training.leaving import SyncPoint
from airflow_provider_kinetic.model.errors import Preempted


class Jax:
    """Of one process."""

    def __init__(self):
        self.asked = 0
        self.stop_at = None

    def stop(self):
        self.stop_at = self.asked + 1

    def reached_preemption_sync_point(self, step):
        self.asked = step
        return step == self.stop_at


@pytest.fixture
def jax(monkeypatch):
    stand_in = Jax()
    module = SimpleNamespace(
        distributed=SimpleNamespace(is_initialized=lambda: True),
        config=SimpleNamespace(jax_enable_preemption_service=True),
    )
    monkeypatch.setitem(sys.modules, "jax", module)
    monkeypatch.setitem(sys.modules, "jax.experimental.multihost_utils", stand_in)
    return stand_in


def five_lines(trial, jax, wanted, stop_after):
    """The step at which the loop leaves."""
    for step in range(1, 30):
        if wanted(trial, step):
            with trial.save(step):
                pass
        try:
            trial.exit_if_stopping()
        except Preempted:
            return step
        if step == stop_after:
            jax.stop()
    return None


LOOPS = {
    "period first": lambda trial, step: step % 5 == 0 or trial.stopping(step),
    "question first": lambda trial, step: trial.stopping(step) or step % 5 == 0,
    "every step": lambda *_: True,
    "period alone": lambda _, step: step % 5 == 0,
    "question at each third": lambda trial, step: step % 3 == 0 and trial.stopping(step),
}


@ON_THIS_MACHINE
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stop_after", [8, 9, 10, 11])
def test_every_order_leaves_with_a_last_checkpoint(place, jax, loop, stop_after):
    trial = place.begin()
    left = five_lines(trial, jax, LOOPS[loop], stop_after)
    assert left is not None
    assert stop_after < left <= stop_after + 5
    assert trial.latest.step == left
    assert trial.stop_reason == "preempted"


@ON_THIS_MACHINE
def test_a_stop_while_the_trial_is_restored_is_heard_by_the_first_question(place, jax):
    trial = place.begin()
    jax.stop()
    assert trial.stopping(1_000_001)


@ON_THIS_MACHINE
def test_the_answer_of_a_collective_is_not_asked_of_jax(place, jax):
    trial = place.begin()
    assert not trial.stopping(1, agree=bool)
    jax.stop_at = 2
    with trial.save(2):
        pass
    trial.exit_if_stopping()
    assert jax.asked == 0


@pytest.mark.parametrize("steps", [range(1, 9), [10, 20, 21, 22, 30], [5, 5, 6, 8, 8, 11]])
def test_all_processes_get_the_same_answers(monkeypatch, steps):
    """Wherever each of two is in its loop when the stop comes."""
    asked = []
    monkeypatch.setattr(leaving, "agreed", lambda step: asked.append(step))
    marks, point = [0], SyncPoint()
    for step in steps:
        point.reached(step)
        marks.append(len(asked))
    numbers = list(asked)

    def left(mark, stop_at):
        """Index of the question at which a process leaves that the stop finds at ``mark``."""
        count, point = itertools.count(), SyncPoint()
        monkeypatch.setattr(leaving, "agreed", lambda step: next(count) >= mark and step == stop_at)
        return next((index for index, step in enumerate(steps) if point.reached(step)), None)

    for mine, other in itertools.product(marks[:-1], repeat=2):
        stop_at = max(numbers[mark - 1] if mark else 0 for mark in (mine, other)) + 1
        assert left(mine, stop_at) == left(other, stop_at)
        if steps[-1] >= stop_at:
            assert left(mine, stop_at) is not None
