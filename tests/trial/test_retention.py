"""What is kept, what goes, and what crashes and bucket rules leave behind."""

from __future__ import annotations

import json
import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.training import retention
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.retention import Keep, ranked, refresh
from airflow_provider_kinetic.job.vaults import below
from airflow_provider_kinetic.model.errors import CheckpointCorrupt

LOSSES = st.one_of(st.none(), st.floats(), st.integers(-9, 9), st.just("NaN"), st.just("text"))


def checkpoint(step, loss=None, attempt=1, seq=1):
    return Checkpoint(step, f"gs://b/o/checkpoints/{Name(step, attempt, seq)}", metadata={"loss": loss})


@st.composite
def histories(draw):
    steps = sorted(draw(st.sets(st.integers(0, 200), max_size=12)))
    return [checkpoint(step, draw(LOSSES), seq=number) for number, step in enumerate(steps, 1)]


@st.composite
def rules(draw):
    best = draw(st.one_of(st.none(), st.just("loss"), st.tuples(st.just("loss"), st.integers(0, 3), st.just("max"))))
    return Keep(draw(st.integers(1, 4)), best, draw(st.one_of(st.none(), st.integers(1, 50))))


@given(histories(), rules(), st.sets(st.integers(0, 11)))
def test_the_last_the_best_and_the_pinned_stay(history, keep, chosen):
    pinned = {history[index].name for index in chosen if index < len(history)}
    doomed = keep.doomed(history, pinned)
    left = [each for each in history if each.name not in doomed]
    assert pinned.isdisjoint(doomed)
    assert left[-keep.latest :] == history[-keep.latest :]
    way = keep.ranking[1]
    if keep.best:
        count = keep.ranking[0]
        assert ranked(left, "loss", way)[:count] == ranked(history, "loss", way)[:count]
    if keep.every:
        assert {each.step // keep.every for each in left} == {each.step // keep.every for each in history}


@given(histories(), rules())
def test_deciding_again_changes_nothing(history, keep):
    doomed = keep.doomed(history, ())
    left = [each for each in history if each.name not in doomed]
    assert keep.doomed(left, ()) == []


@given(histories(), rules())
def test_no_more_stays_than_was_asked_for(history, keep):
    left = len(history) - len(keep.doomed(history, ()))
    spans = len({each.step // keep.every for each in history}) if keep.every else 0
    assert left <= keep.latest + (keep.ranking[0] if keep.best else 0) + spans


def test_numbers_that_are_none_have_no_rank():
    history = [checkpoint(step, loss) for step, loss in enumerate([math.nan, None, "text", "NaN", "Infinity", 2.0])]
    assert [each.step for each in ranked(history, "loss")] == [5, 4]
    assert [each.step for each in ranked(history, "loss", "max")] == [4, 5]


@pytest.mark.parametrize(
    "rule", [{"latest": 0}, {"every": 0}, *({"best": ("loss", *rest)} for rest in [(1, "most"), (1,), (-1, "min")])]
)
def test_a_rule_that_keeps_nothing_is_refused(rule):
    with pytest.raises(ValueError, match="at least 1"):
        Keep(**rule)


def settled(trial):
    """What goes on in the background is over."""
    trial._saver._background.submit(int).result()
    return [each.step for each in trial.checkpoints]


def test_old_checkpoints_go_while_the_loop_runs(place, saved):
    trial = place.begin(Keep(latest=2, best="loss"))
    for step, loss in enumerate([3, 1, 5, 4, 3], 1):
        saved(trial, step, loss=loss)
    assert settled(trial) == [2, 4, 5]
    assert trial.best("loss").step == 2
    assert len(place.vault.folders(f"{place.uri}/checkpoints")) == len(trial.checkpoints)


def test_pins_hold_until_they_are_taken_away(place, saved):
    trial = place.begin(Keep(latest=1))
    saved(trial, 1)
    first = trial.latest
    first.pin()
    saved(trial, 2)
    saved(trial, 3)
    assert settled(trial) == [1, 3]
    first.unpin()
    saved(trial, 4)
    assert settled(trial) == [4]


@pytest.mark.parametrize("begun", [True, False])
def test_what_is_deleted_cannot_be_pinned(place, saved, begun):
    trial = place.begin()
    saved(trial, 1)
    saved(trial, 2)
    found = trial.latest
    if begun:
        place.vault.write(place.layout.tombstone(found.name), b"{}")
    else:
        found.delete()
    with pytest.raises(CheckpointCorrupt, match=r"step 2, .* was deleted"):
        found.pin()
    assert place.names(".kinetic/pins/") == []


def test_what_was_deleted_by_hand_is_not_missed(place, saved):
    trial = place.begin()
    for step in (1, 2, 3):
        saved(trial, step)
    trial.latest.delete()
    assert trial.latest.step == 2
    assert len(place.vault.folders(f"{place.uri}/checkpoints")) == 2
    with trial.restore() as found:
        assert found.step == 2
    trial.latest.delete()
    trial.latest.delete()
    assert trial.latest is None


def test_the_next_attempt_finishes_what_was_broken_off(place, saved):
    trial = place.begin()
    for step in (1, 2):
        saved(trial, step)
    first, second = (each.name for each in trial.checkpoints)
    place.vault.write(place.layout.tombstone(first), b"{}")
    place.vault.write(below(place.uri, "checkpoints/000000000009-a0001-0009/state"), b"no commit")
    place.vault.write(below(place.uri, "checkpoints/000000000009-a0002-0001/state"), b"of the running one")
    place.vault.write(below(place.uri, "checkpoints/9/state"), b"of somebody else")
    again = place.begin()
    assert [each.name for each in again.checkpoints if each.kind == "kinetic"] == [second]
    assert place.vault.folders(f"{place.uri}/checkpoints") == [second, "000000000009-a0002-0001", "9"]
    assert place.names(".kinetic/tombstones") == []


def test_a_replaced_attempt_deletes_nothing(place, saved):
    """It committed, was replaced, and woke up: what the new one goes on from must stay."""
    zombie = place.begin(Keep(latest=1))
    saved(zombie, 1)
    settled(zombie)
    zombie._fence.holds = lambda: True
    saved(zombie, 2)
    del zombie._fence.holds
    settled(zombie)
    newer = place.begin(Keep(latest=1))
    saved(newer, 3)
    settled(newer)
    before = place.names("checkpoints")
    zombie._shelf.tidy()
    assert place.names("checkpoints") == before


def test_trouble_with_old_ones_is_a_warning(place, saved, monkeypatch):
    trial = place.begin(Keep(latest=1))
    saved(trial, 1)

    listed = place.vault.list

    def fails(prefix):
        if prefix == place.layout.pins:
            raise OSError("read only")
        return listed(prefix)

    monkeypatch.setattr(place.vault, "list", fails)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        saved(trial, 2)
        assert settled(trial) == [1, 2]
    assert "could not be deleted: read only" in str(caught[0].message)


def aged(place, monkeypatch, days):
    """The store's clock shows that all of this was made so long ago; what comes later is new."""
    tree, old = place.vault.tree, set(place.names())

    def entries(folder, **options):
        for entry in tree(folder, **options):
            past = days * retention.DAY if entry.uri[len(place.uri) + 1 :] in old else 0
            yield entry._replace(updated=entry.updated - past)

    monkeypatch.setattr(place.vault, "tree", entries)
    return lambda uri: old.discard(uri[len(place.uri) + 1 :])


@pytest.mark.parametrize(("days", "stay"), [(6, True), (8, False)])
def test_what_does_not_belong_to_the_story_goes_after_a_week(place, saved, monkeypatch, days, stay):
    trial = place.begin()
    saved(trial, 1)
    zombie = place.begin()
    place.begin()
    monkeypatch.setattr(zombie._fence, "holds", lambda: True)
    saved(zombie, 2)
    aged(place, monkeypatch, days)
    last = place.begin()
    assert [each.step for each in last.checkpoints] == [1]
    assert (len(place.names(".kinetic/checkpoints")) == 2) is stay


def test_old_objects_that_are_kept_are_made_anew(place, saved, monkeypatch):
    trial = place.begin()
    saved(trial, 1)
    saved(trial, 2)
    settled(trial)
    place.vault.write(f"{place.layout.job('job-1')}logs/1", b"")
    kept = trial.latest.name
    renew, renewed = place.vault.renew, []
    young = aged(place, monkeypatch, 21)
    place.vault.write(f"{place.uri}/.kinetic/new.json", b"")
    monkeypatch.setattr(place.vault, "renew", lambda uri: (renewed.append(uri), young(uri), renew(uri)))
    now = place.vault.entry(f"{place.uri}/.kinetic/new.json").updated
    refresh(place.vault, place.layout, [kept], now)
    assert sorted(uri[len(place.uri) + 1 :] for uri in renewed) == sorted(
        [name for name in place.names(".kinetic") if "jobs" not in name and "new" not in name]
        + place.names(f"checkpoints/{kept}")
    )
    renewed.clear()
    refresh(place.vault, place.layout, [kept], now)
    assert renewed == []
    assert [each.step for each in place.begin().checkpoints] == [1, 2]
    assert json.loads(place.vault.read(place.layout.attempt(2)))["parent"]["checkpoint"]["step"] == 2
