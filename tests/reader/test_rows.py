"""Following the rows of a trial: nothing twice, nothing left out, whatever attempts come and go."""

from __future__ import annotations

from typing import Any

import pytest
from gcs_server import GcsServer

from airflow_provider_kinetic.model.errors import Preempted


def log(trial: Any, *steps: int) -> None:
    for step in steps:
        trial.log({"loss": 1 / step}, step=step)
    trial._metrics.flush()


def steps(rows: Any) -> list[int]:
    return [row.step for row in rows]


def test_a_tail_brings_what_is_new_to_any_reader(place: Any) -> None:
    trial = place.begin()
    first = place.reader().tail()
    assert (first.rows, first.fresh) == ([], True)
    log(trial, 1, 2)
    second = place.reader().tail(first.cursor)
    assert (steps(second.rows), second.fresh) == ([1, 2], False)
    log(trial, 3)
    trial._metrics._next()
    log(trial, 4, 5)
    third = place.reader().tail(second.cursor)
    assert (steps(third.rows), third.fresh) == ([3, 4, 5], False)
    nothing = place.reader().tail(third.cursor)
    assert (nothing.rows, nothing.cursor) == ([], third.cursor)
    assert steps(place.reader().tail("nonsense").rows) == [1, 2, 3, 4, 5]


def test_after_another_attempt_everything_is_told_anew(place: Any, saved: Any) -> None:
    first = place.begin()
    log(first, 1, 2, 3)
    cursor = place.reader().tail().cursor
    saved(first, 2)
    first.close(Preempted())
    second = place.begin()
    anew = place.reader().tail(cursor)
    assert (steps(anew.rows), anew.fresh) == ([1, 2], True)
    log(second, 3, 4)
    assert steps(place.reader().tail(anew.cursor).rows) == [3, 4]


def test_rows_that_replace_those_of_an_earlier_attempt_are_told_with_all_that_is_left(place: Any) -> None:
    first = place.begin()
    log(first, *range(1, 101))
    first.close(Preempted())
    second = place.begin()
    told = place.reader().tail()
    assert steps(told.rows) == [*range(1, 101)], "as long as nobody knows where it goes on"
    log(second, 1, 2)
    anew = place.reader().tail(told.cursor)
    assert (steps(anew.rows), anew.fresh) == ([1, 2], True)
    log(second, 3)
    more = place.reader().tail(anew.cursor)
    assert (steps(more.rows), more.fresh) == ([3], False)
    second.close()
    assert [steps(place.reader().rows()), place.reader().state().step] == [[1, 2, 3], 3]
    assert place.reader().metrics()["series"]["train/loss"]["count"] == 3


def test_code_that_goes_on_from_a_file_of_its_own_is_followed(place: Any) -> None:
    first = place.begin()
    log(first, 1, 2, 3)
    first.close(Preempted())
    second = place.begin()
    told = place.reader().tail()
    log(second, 4, 5)
    more = place.reader().tail(told.cursor)
    assert (steps(told.rows), steps(more.rows), more.fresh) == ([1, 2, 3], [4, 5], False)
    assert steps(place.reader().rows()) == [1, 2, 3, 4, 5]


def test_a_line_that_is_not_whole_comes_the_next_time(place: Any) -> None:
    trial = place.begin()
    log(trial, 1)
    cursor = place.reader().tail().cursor
    uri = place.layout.segment(1, 1)
    whole = place.vault.read(uri)
    place.vault.write(uri, whole + whole[:9])
    cut = place.reader().tail(cursor)
    assert cut.rows == []
    place.vault.write(uri, whole + whole)
    assert steps(place.reader().tail(cut.cursor).rows) == [1]


def test_curves_come_from_the_summary(place: Any) -> None:
    with place.begin() as trial:
        for step in range(1, 101):
            trial.log({"loss": step}, step=step)
    whole = place.reader().metrics()
    thin = place.reader().metrics(max_points=10)
    assert whole["step"] == thin["step"] == 100
    curve = thin["series"]["train/loss"]
    assert (curve["count"], curve["last"], curve["min"], curve["max"]) == (100, 100, 1.0, 100.0)
    assert curve["points"][0][0] == 1
    assert curve["points"][-1][0] == 100
    assert len(curve["points"]) <= 11
    assert len(whole["series"]["train/loss"]["points"]) == 100


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_curves_cost_one_request(gcs: GcsServer, place: Any) -> None:
    with place.begin() as trial:
        trial.log({"loss": 1}, step=1)
    reader = place.reader()
    before = gcs.asked
    assert reader.metrics()["step"] == 1
    assert gcs.asked - before == {"download": 1}


def test_before_the_first_summary_curves_are_made_of_the_rows(place: Any) -> None:
    trial = place.begin()
    log(trial, 1, 2)
    assert place.reader().metrics()["series"]["train/loss"]["count"] == 2
