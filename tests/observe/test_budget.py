"""All jobs of a triggerer share one budget of log lines, and no job takes another's share."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.triggers.budget import LineBudget, RequestBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_chatty_job_pauses_and_a_quiet_one_does_not(clock):
    budget = LineBudget(100.0, clock)
    budget.spend("chatty", 100_000)

    for _ in range(10):
        assert not budget.open("chatty")
        assert budget.open("quiet")
        budget.spend("quiet", 1)
        clock.now += 1


def test_a_debt_is_paid_at_the_rate(clock):
    budget = LineBudget(100.0, clock)
    budget.spend("job", 1000)

    clock.now = 9.9
    assert not budget.open("job")
    clock.now = 10.1
    assert budget.open("job")


def test_jobs_in_debt_share_the_rate(clock):
    budget = LineBudget(100.0, clock)
    budget.spend("one", 1000)
    budget.spend("two", 1000)

    clock.now = 10.1
    assert not budget.open("one")
    clock.now = 20.1
    assert budget.open("one")
    assert budget.open("two")


@given(st.integers(2, 6), st.integers(1, 5000))
def test_equally_chatty_jobs_get_equal_shares_of_the_rate(jobs, reading):
    clock = Clock()
    budget = LineBudget(200.0, clock)
    shown = dict.fromkeys(range(jobs), 0)
    for _ in range(600):
        clock.now += 1
        for job in shown:
            if budget.open(str(job)):
                budget.spend(str(job), reading)
                shown[job] += reading

    assert max(shown.values()) - min(shown.values()) <= reading
    assert sum(shown.values()) <= 200 * 600 + 2 * jobs * reading


# Requests.


def test_requests_follow_one_another_at_the_rate(clock):
    budget = RequestBudget(10.0, clock)

    assert [budget.turn() for _ in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert not budget.idle
    clock.now = 5.0
    assert budget.idle
    assert [budget.turn() for _ in range(2)] == pytest.approx([5.0, 5.1])


def test_a_look_that_took_many_requests_makes_the_next_wait(clock):
    budget = RequestBudget(10.0, clock)
    budget.turn()
    budget.spend(8)

    assert budget.turn() == pytest.approx(0.9)


def test_a_rate_of_nothing_is_nothing(clock):
    budget = RequestBudget(0.0, clock)

    assert budget.none
    assert not budget.idle


@given(st.integers(2, 30), st.floats(0.5, 100.0))
def test_whoever_asks_again_stands_behind_the_others(jobs, rate):
    budget = RequestBudget(rate, Clock())
    turns = [budget.turn() for _ in range(3 * jobs)]

    gaps = [later - sooner for sooner, later in itertools.pairwise(turns)]
    assert gaps == pytest.approx([1 / rate] * len(gaps))
