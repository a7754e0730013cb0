"""Which attempts, rows and checkpoints count, whatever the order of starts, saves and deaths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.training.lineage import Lineage, Name


def start(attempt, former=None, step=None, seq=0):
    checkpoint = None if step is None else {"step": step, "uri": "x"}
    parent = None if former is None else {"attempt": former, "checkpoint": checkpoint, "seq": seq}
    return {"attempt": attempt, "parent": parent}


def starts(*records):
    return {record["attempt"]: record for record in records}


@given(st.integers(0, 10**14), st.integers(1, 10**6), st.integers(1, 10**6))
def test_names_are_read_as_they_are_written(step, attempt, seq):
    name = Name(step, attempt, seq)
    assert Name.parse(str(name)) == name


@given(st.lists(st.tuples(st.integers(0, 10**11), st.integers(1, 9999), st.integers(1, 9999)), min_size=2))
def test_names_sort_by_step(parts):
    names = [Name(*each) for each in parts]
    assert [Name.parse(text) for text in sorted(map(str, names))] == sorted(names)


@pytest.mark.parametrize("number", [10**15, 10**7])
def test_a_number_that_nobody_counted_to_keeps_no_reader_busy(number):
    assert len(Lineage.of({1: start(1), number: {}}).shares) <= 100_000


@pytest.mark.parametrize(
    "text", ["1200", "000000001200-a0002", "1200.orbax-checkpoint-tmp", "000000001200-a0002-0007x"]
)
def test_what_is_not_ours_has_no_name(text):
    assert Name.parse(text) is None


def test_the_only_attempt_counts_whole():
    lineage = Lineage.of(starts(start(1)))
    assert lineage.shows(Name(10**9, 1, 999))
    assert lineage.shows_row(1, 10**9)


def test_what_was_not_seen_by_the_next_attempt_does_not_count():
    lineage = Lineage.of(starts(start(1), start(2, 1, step=100, seq=2)))
    assert lineage.shows(Name(100, 1, 2))
    assert not lineage.shows(Name(100, 1, 3)), "saved after the next one had begun, at the same step"
    assert not lineage.shows(Name(50, 1, 3)), "or at a lower one"
    assert not lineage.shows(Name(101, 1, 2))
    assert lineage.shows_row(1, 100)
    assert not lineage.shows_row(1, 101)


def test_a_later_return_cuts_all_before_it():
    lineage = Lineage.of(starts(start(1), start(2, 1, step=200, seq=2), start(3, 2, step=100, seq=0)))
    assert not lineage.shows_row(1, 101)
    assert not lineage.shows(Name(200, 1, 2))
    assert lineage.shows(Name(100, 1, 1))


def test_a_start_without_a_checkpoint_hides_those_before_and_leaves_rows_to_the_steps_that_it_logs():
    lineage = Lineage.of(starts(start(1), start(2, 1, seq=1), start(3, 2)))
    assert not lineage.shows(Name(100, 1, 1))
    assert not lineage.shows(Name(100, 2, 1))
    assert lineage.shows_row(1, 100)
    assert lineage.shows_row(2, 100)


def test_a_checkpoint_that_a_later_start_found_cuts_rows_all_the_same():
    lineage = Lineage.of(starts(start(1), start(2, 1, step=100, seq=1), start(3, 2)))
    assert lineage.shows_row(1, 100)
    assert not lineage.shows_row(1, 101)
    assert not lineage.shows(Name(100, 1, 1))


def test_an_attempt_that_was_never_lived_in_is_passed_over():
    lineage = Lineage.of(starts(start(1), start(2, 1, step=100, seq=1), start(3, 1, step=200, seq=2)))
    assert lineage.shows(Name(200, 1, 2))
    assert not lineage.shows_row(2, 1)


@pytest.mark.parametrize("record", [{}, {"attempt": 2, "parent": 7}, {"attempt": 2, "parent": {"attempt": "x"}}])
def test_a_start_that_cannot_be_read_hides_nothing(record):
    lineage = Lineage.of({1: start(1), 2: record})
    assert lineage.shows(Name(100, 1, 5))
    assert lineage.shows_row(1, 100)


def test_records_that_lead_in_circles_end_somewhere():
    assert Lineage.of(starts(start(1, 2, step=1), start(2, 2, step=1))).shows_row(2, 5)


@st.composite
def stories(draw):
    """Attempts one after the other: each goes on from the last commit, saves, and may die before the next save.

    Returns the start records, the commits in order, and which of them an attempt after all would go on from.
    """
    records, commits = {}, []
    for attempt in range(1, draw(st.integers(1, 6)) + 1):
        last = commits[-1] if commits else None
        former = attempt - 1 or None
        seq = max((name.seq for name in commits if name.attempt == attempt - 1), default=0)
        records[attempt] = start(attempt, former, last.step if last else None, seq)
        step = last.step if last else 0
        for number in range(1, draw(st.integers(0, 3)) + 1):
            step += draw(st.integers(1, 5))
            commits.append(Name(step, attempt, number))
    return records, commits


@given(stories())
def test_no_commit_is_ever_lost(story):
    records, commits = story
    lineage = Lineage.of(records)
    assert all(lineage.shows(name) for name in commits)


@given(stories())
def test_every_step_up_to_the_last_commit_belongs_to_one_attempt_and_to_those_that_left_no_checkpoint_before(story):
    records, commits = story
    lineage = Lineage.of(records)
    last = max((name.step for name in commits), default=0)
    begun = {attempt: (record["parent"] or {}).get("checkpoint") for attempt, record in records.items()}
    for step in range(1, last + 1):
        holders = [
            attempt
            for attempt, origin in begun.items()
            if lineage.shows_row(attempt, step) and step > (origin["step"] if origin else 0)
        ]
        assert holders
        assert all(begun[each + 1] is None for each in holders[:-1])


@given(stories(), st.integers(1, 6), st.integers(1, 5), st.integers(1, 100))
def test_what_a_replaced_attempt_saves_is_not_seen(story, attempt, more, step):
    records, commits = story
    if attempt >= max(records):
        return
    seq = max((name.seq for name in commits if name.attempt == attempt), default=0) + more
    assert not Lineage.of(records).shows(Name(step, attempt, seq))
