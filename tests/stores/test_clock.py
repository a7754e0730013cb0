"""A service's clock is read from its answers, whatever the clock of this machine says."""

from __future__ import annotations

import time
from email.utils import formatdate
from types import SimpleNamespace

from airflow_provider_kinetic.stores.clock import ServerClock


def answer(date: str) -> SimpleNamespace:
    return SimpleNamespace(headers={"Date": date})


def test_an_answer_sets_the_clock_and_time_goes_on() -> None:
    clock = ServerClock()
    assert not clock.known
    clock.hear(answer(formatdate(1_000_000, usegmt=True)))
    assert clock.known
    assert 1_000_000 <= clock.now() < 1_000_010


def test_without_a_date_it_is_the_clock_of_this_machine() -> None:
    clock = ServerClock()
    clock.hear(SimpleNamespace(headers={}))
    clock.hear(answer("yesterday"))
    assert not clock.known
    assert abs(clock.now() - time.time()) < 10
