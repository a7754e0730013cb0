"""Rows continue over attempts without gap or double, and logging never waits."""

from __future__ import annotations

import json
import math
import statistics
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.training import metrics
from airflow_provider_kinetic.job.training.lineage import Lineage
from airflow_provider_kinetic.job.training.series import Row, decode, read_rows, told
from airflow_provider_kinetic.job.training.summary import POINTS, Summary


def start(attempt, former=None, step=None):
    checkpoint = None if step is None else {"step": step, "uri": "x"}
    return {"attempt": attempt, "parent": former and {"attempt": former, "checkpoint": checkpoint, "seq": 0}}


def rows(*steps, group="train", value=None):
    return [Row(0.0, step, group, {"loss": value if value is not None else step}) for step in steps]


def steps(found, group="train"):
    return [row.step for row in found if row.group == group]


# Which rows count


def test_rows_beyond_the_checkpoint_are_those_of_the_next_attempt():
    lineage = Lineage.of({1: start(1), 2: start(2, 1, 3)})
    found = told(lineage, {1: rows(1, 2, 3, 4, 5, value=1), 2: rows(4, 5, 6, value=2)})
    assert [(row.step, row.values["loss"]) for row in found] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]


def test_a_step_that_is_repeated_counts_once():
    lineage = Lineage.of({1: start(1), 2: start(2, 1, 3)})
    found = told(lineage, {1: rows(1, 2, 3, value=1), 2: rows(3, 4, value=2)})
    assert [(row.step, row.values["loss"]) for row in found] == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_code_that_goes_on_elsewhere_replaces_from_its_first_step():
    lineage = Lineage.of({1: start(1), 2: start(2, 1, 10)})
    found = told(lineage, {1: rows(*range(1, 11)), 2: rows(6, 7)})
    assert steps(found) == [1, 2, 3, 4, 5, 6, 7]


def test_a_look_at_the_restored_state_hides_no_training():
    lineage = Lineage.of({1: start(1), 2: start(2, 1, 3)})
    found = told(lineage, {1: rows(1, 2, 3), 2: rows(3, group="validation") + rows(4)})
    assert steps(found) == [1, 2, 3, 4]


def test_a_word_at_the_restored_step_hides_nothing_else():
    lineage = Lineage.of({1: start(1), 2: start(2, 1, 3)})
    found = told(lineage, {1: rows(1, 2, 3), 2: [Row(0, 3, "train", {"resumed": 1}), *rows(4)]})
    assert [row.values for row in found] == [{"loss": 1}, {"loss": 2}, {"loss": 3, "resumed": 1}, {"loss": 4}]


def test_groups_may_count_their_steps_differently():
    """Batches here, epochs there."""
    lineage = Lineage.of({1: start(1), 2: start(2, 1, 300)})
    epochs = [rows(1, 2, 3, group="validation"), rows(4, group="validation")]
    found = told(lineage, {1: rows(100, 200, 300) + epochs[0], 2: epochs[1] + rows(400)})
    assert steps(found) == [100, 200, 300, 400]
    assert steps(found, "validation") == [1, 2, 3, 4]


def test_rows_of_one_step_are_one():
    lineage = Lineage.of({1: start(1)})
    found = told(lineage, {1: [Row(0, 1, "train", {"a": 1, "b": 1}), Row(0, 1, "train", {"b": 2})]})
    assert [row.values for row in found] == [{"a": 1, "b": 2}]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=8))
def test_whatever_dies_when_the_series_is_whole(lives):
    """Each attempt goes on from the last save, logs some steps beyond, and may have flushed only some of those."""
    saved, starts, written, reached = 0, {}, {}, 0
    for attempt, (steps_done, unsaved, flushed) in enumerate(lives, 1):
        starts[attempt] = start(attempt, attempt - 1 or None, saved or None)
        end = saved + steps_done
        reached = end + unsaved if flushed else end
        written[attempt] = rows(*range(saved + 1, reached + 1))
        saved = end
    assert steps(told(Lineage.of(starts), written)) == list(range(1, reached + 1))


# From log to store


def test_rows_are_read_as_they_were_logged(place):
    class Scalar:
        def item(self):
            return 1.5

    trial = place.begin()
    values = {"a": 1, "b": 0.1, "c": True, "d": "text", "e": math.nan, "f": math.inf, "g": Scalar()}
    trial.log(values, step=1)
    trial.log({"a": 2}, step=1, group="ünï\ncode")
    trial.close()
    one, other = read_rows(place.vault, place.layout)
    expected = {**values, "e": "NaN", "f": "Infinity", "g": 1.5}
    assert (one.step, one.group, one.values) == (1, "train", expected)
    assert (other.group, other.values) == ("ünï\ncode", {"a": 2})
    assert abs(one.time - time.time()) < 60


class Several:
    def item(self):
        raise ValueError("can only convert an array of size 1")


@pytest.mark.parametrize("values", [{"a": None}, {"a": [1]}, {"a": object()}, {"a": Several()}])
def test_other_values_are_refused_where_they_are_logged(place, values):
    with pytest.raises(TypeError, match="'a' is a "):
        place.begin().log(values, step=1)


def test_a_slash_parts_group_and_name(place):
    """Of `eval/hard/loss` nobody could say which is which."""
    trial = place.begin()
    with pytest.raises(ValueError, match="group='eval/hard' has a slash"):
        trial.log({"loss": 1}, step=1, group="eval/hard")
    trial.log({"hard/loss": 2}, step=1, group="eval")
    trial.close()
    assert list(json.loads(place.vault.read(place.layout.summary))["series"]) == ["eval/hard/loss"]


@pytest.mark.parametrize("begun", [True, False])
def test_nothing_is_logged_into_a_closed_trial(place, begun):
    trial = place.begin()
    if begun:
        trial.log({"a": 1}, step=1)
    trial.close()
    with pytest.raises(ValueError, match="closed"):
        trial.log({"a": 1}, step=2)


def test_steps_are_whole(place):
    with pytest.raises(TypeError, match=r"step is a whole number, not 1\.5"):
        place.begin().log({"a": 1}, step=1.5)


def test_a_checkpoint_is_never_ahead_of_its_rows(place, saved):
    trial = place.begin()
    for step in range(1, 4):
        trial.log({"loss": step}, step=step)
        saved(trial, step)
        assert steps(read_rows(place.vault, place.layout)) == list(range(1, step + 1))


def test_the_series_goes_on_in_the_next_attempt(place, saved):
    for attempt in range(3):
        trial = place.begin()
        with trial.restore() as found:
            begun = found.step if found else 0
        for step in range(begun + 1, begun + 8):
            trial.log({"loss": attempt}, step=step)
            if step == begun + 5:
                saved(trial, step)
        trial.close()
    found = read_rows(place.vault, place.layout)
    assert steps(found) == list(range(1, 18))
    assert [row.values["loss"] for row in found] == [0] * 5 + [1] * 5 + [2] * 7


def test_large_series_come_in_segments_of_one_size(place):
    trial = place.begin()
    for step in range(20_000):
        trial.log({"loss": step, "note": "x" * 20}, step=step)
    trial.close()
    names = [name for name in place.names(".kinetic/metrics") if name.endswith(".jsonl")]
    sizes = [len(place.vault.read(f"{place.uri}/{name}")) for name in names]
    assert len(names) > 5
    assert all(metrics.SEGMENT <= size < metrics.SEGMENT + 200 for size in sizes[:-1])
    assert steps(read_rows(place.vault, place.layout)) == list(range(20_000))


def test_rows_arrive_while_the_loop_runs(place, monkeypatch):
    monkeypatch.setattr(metrics, "EVERY", 0.1)
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    deadline = time.monotonic() + 10
    while not steps(read_rows(place.vault, place.layout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_logging_does_not_wait_for_a_store_that_is_away(place, monkeypatch):
    monkeypatch.setattr(metrics, "EVERY", 0.01)
    trial = place.begin()
    away, write = threading.Event(), place.vault.write

    def stuck(uri, data, **options):
        if uri.endswith(".jsonl"):
            away.wait(20)
        write(uri, data, **options)

    monkeypatch.setattr(place.vault, "write", stuck)
    trial.log({"loss": 0}, step=0)
    time.sleep(0.2)
    started = time.monotonic()
    for step in range(1, 1000):
        trial.log({"loss": step}, step=step)
    assert time.monotonic() - started < 1
    away.set()
    trial.close()
    assert steps(read_rows(place.vault, place.layout)) == list(range(1000))


def test_rows_that_could_not_be_written_are_written_later(place, monkeypatch):
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    with monkeypatch.context() as broken:
        broken.setattr(place.vault, "write", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trial._metrics.flush()
    trial.log({"loss": 2}, step=2)
    trial.close()
    assert steps(read_rows(place.vault, place.layout)) == [1, 2]
    assert json.loads(place.vault.read(place.layout.summary))["series"]["train/loss"]["count"] == 2


def test_the_summary_is_of_all_attempts(place, saved):
    for attempt in range(2):
        trial = place.begin()
        with trial.restore() as found:
            begun = found.step if found else 0
        for step in range(begun + 1, begun + 5):
            trial.log({"loss": 1 / step, "odd": math.nan}, step=step)
        trial._metrics.summarize() if attempt else None
        saved(trial, begun + 3)
        trial.close()
    summary = json.loads(place.vault.read(place.layout.summary))
    assert (summary["v"], summary["attempt"], summary["step"]) == (1, 2, 7)
    loss = summary["series"]["train/loss"]
    assert (loss["count"], loss["last"], loss["min"], loss["max"]) == (7, 1 / 7, 1 / 7, 1.0)
    assert loss["points"] == [[step, 1 / step] for step in range(1, 8)]
    assert (summary["series"]["train/odd"]["last"], summary["series"]["train/odd"]["min"]) == ("NaN", None)


def test_a_replaced_attempt_writes_no_summary_and_learns_of_it(place):
    zombie = place.begin()
    zombie.log({"loss": 1}, step=1)
    place.begin()
    zombie._metrics.summarize()
    assert place.layout.summary not in place.vault.list(place.layout.metrics)
    assert zombie.stopping()


def test_a_long_curve_is_thinned_and_keeps_its_end():
    summary = Summary(1)
    summary.add(rows(*range(100_000)))
    curve = summary.to_dict()["series"]["train/loss"]
    assert POINTS // 4 <= len(curve["points"]) <= POINTS
    assert curve["points"][0] == (0, 0)
    assert curve["points"][-1] == (99_999, 99_999)
    assert (curve["count"], curve["min"], curve["max"]) == (100_000, 0, 99_999)


@pytest.mark.parametrize("line", [b"", b"null", b"{}", b'{"t":1', b'{"t":1,"s":"x","g":"a","m":{}}', b"\xff"])
def test_lines_that_are_no_rows_are_passed_over(line):
    good = rows(1)[0]
    assert [row.step for row in decode(good.encode() + line + b"\n" + good.encode())] == [1, 1]


def test_a_call_costs_microseconds(place):
    trial = place.begin()
    costs = []
    for step in range(5000):
        started = time.perf_counter()
        trial.log({"loss": 0.5, "accuracy": 0.1}, step=step)
        costs.append(time.perf_counter() - started)
    assert statistics.median(costs) < 60e-6
