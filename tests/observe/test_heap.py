"""A triggerer with thousands of jobs is not held up by garbage collections; what is garbage goes all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_kinetic.triggers.heap import EVERY, Heap


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Knot:
    """Kept by nothing but itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heap(clock: Clock) -> Iterator[Heap]:
    before = list(gc.callbacks)
    yield Heap(clock)
    assert gc.callbacks == before, "a test left the heap as it was"
    assert gc.get_freeze_count() == 0


def test_few_jobs_change_nothing(heap: Heap) -> None:
    with heap.observing(at=2):
        gc.collect()
        assert gc.get_freeze_count() == 0


def test_it_can_be_switched_off(heap: Heap) -> None:
    with heap.observing(at=0), heap.observing(at=0):
        gc.collect()
        assert gc.get_freeze_count() == 0


def test_with_many_jobs_what_outlives_a_full_collection_is_left_out_of_the_next(heap: Heap) -> None:
    with heap.observing(at=2), heap.observing(at=2):
        gc.collect()
        assert gc.get_freeze_count() > 1_000
        assert len(gc.get_objects()) < 1_000


def test_young_generations_are_left_alone(heap: Heap) -> None:
    with heap.observing(at=1):
        gc.collect(1)
        assert gc.get_freeze_count() == 0


def test_new_garbage_still_goes(heap: Heap) -> None:
    with heap.observing(at=1):
        gc.collect()
        knot = weakref.ref(Knot())
        gc.collect()
        assert knot() is None


def test_old_garbage_goes_within_an_hour(heap: Heap, clock: Clock) -> None:
    with heap.observing(at=1):
        alive = Knot()
        knot = weakref.ref(alive)
        gc.collect()
        del alive
        gc.collect()
        assert knot() is not None, "it was set aside while it was needed"
        clock.now += EVERY
        gc.collect()
        assert knot() is None
        assert gc.get_freeze_count() > 1_000, "the rest is set aside again"


def test_it_ends_when_half_of_the_jobs_have(heap: Heap) -> None:
    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(heap.observing(at=4))
        with heap.observing(at=4):
            gc.collect()
        assert gc.get_freeze_count() > 0, "no flutter around the number"
        others.pop_all().close()
        assert gc.get_freeze_count() == 0
