"""One small object says what there is to draw, of all attempts."""

from __future__ import annotations

import json
import math

import pytest

from airflow_provider_kinetic.job.training.series import Row
from airflow_provider_kinetic.job.training.summary import ALL_POINTS, FEW, POINTS, Summary


def rows(*steps, attempt=1, **values):
    return [Row(0.0, step, "train", values or {"loss": step}, attempt) for step in steps]


def curve(summary, name="train/loss"):
    return json.loads(json.dumps(summary.to_dict(), allow_nan=False))["series"][name]


def stored(place):
    return json.loads(place.vault.read(place.layout.summary))


@pytest.mark.parametrize("count", [1, 2, 10, POINTS - 1, POINTS, POINTS + 1, 12_345])
def test_a_curve_has_its_first_and_last_point(count):
    found = curve(Summary(1, rows(*range(1, count + 1))))
    assert (found["count"], found["min"], found["max"], found["last"]) == (count, 1, count, count)
    assert found["points"][0] == [1, 1]
    assert found["points"][-1] == [count, count]
    assert min(count, POINTS // 2) <= len(found["points"]) <= POINTS
    assert found["points"] == sorted(found["points"])


def test_many_curves_share_the_room():
    summary = Summary(1, rows(*range(1, 200), **{f"layer {number}": 0.5 for number in range(2_000)}))
    found = summary.to_dict()["series"]
    assert len(found) == 2_000
    assert sum(len(each["points"]) for each in found.values()) <= max(ALL_POINTS, 2_000 * (FEW + 1))
    assert all(each["points"][-1][0] == 199 for each in found.values())


def test_the_same_step_again_is_another_value_for_it():
    found = curve(Summary(1, [*rows(1, 2), *rows(2, loss=9), *rows(3, loss=4)]))
    assert (found["count"], found["points"]) == (3, [[1, 1], [2, 9], [3, 4]])


def test_steps_that_go_back_are_drawn_in_order():
    found = curve(Summary(1, rows(1, 5, 3)))
    assert (found["last"], [step for step, _ in found["points"]]) == (5, [1, 3, 5])


def test_odd_values_have_their_place():
    values = [0.5, math.nan, "NaN", math.inf, True, "text", 10**400]
    summary = Summary(1, [row for step, value in enumerate(values) for row in rows(step, loss=value)])
    found = curve(summary)
    assert (found["count"], found["min"], found["max"]) == (7, 0.5, "Infinity")
    assert [value for _, value in found["points"]] == [0.5, "NaN", "NaN", "Infinity", True, "text", 10**400]
    only = curve(Summary(1, rows(1, loss="text")))
    assert (only["last"], only["min"], only["max"]) == ("text", None, None)


def test_rows_that_replace_earlier_ones_are_noticed():
    summary = Summary(2, [*rows(1, 2, 3), *rows(4, attempt=2)])
    summary.add(rows(5, attempt=2))
    assert not summary.overlaps
    summary.add([Row(0.0, 1, "validation", {"loss": 1}, 2)])
    assert not summary.overlaps
    summary.add(rows(3, attempt=2))
    assert summary.overlaps


def test_an_attempt_that_repeats_steps_is_summed_up_anew(place, saved):
    first = place.begin()
    for step in range(1, 11):
        first.log({"loss": 100 + step}, step=step)
    saved(first, 10)
    second = place.begin()
    second.log({"other": 1}, step=11, group="validation")
    second._metrics.flush()
    second._metrics.summarize()
    assert stored(place)["series"]["train/loss"]["max"] == 110
    second.log({"loss": 1}, step=5)
    second._metrics.flush()
    second._metrics.summarize()
    found = stored(place)["series"]["train/loss"]
    assert (found["count"], found["max"], found["last"]) == (5, 104, 1)
    assert found["points"] == [[1, 101], [2, 102], [3, 103], [4, 104], [5, 1]]


def test_keeping_it_up_to_date_reads_nothing(place, monkeypatch):
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    trial._metrics.flush()
    trial._metrics.summarize()
    with monkeypatch.context() as blind:
        blind.setattr(place.vault, "read", lambda _: 1 / 0)
        for step in (2, 3):
            trial.log({"loss": step}, step=step)
            trial._metrics.flush()
            trial._metrics.summarize()
    assert stored(place)["series"]["train/loss"]["count"] == 3
