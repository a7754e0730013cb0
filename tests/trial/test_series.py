"""The series of a trial is one, whatever died on the way, and is read again for the price of what is new."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from gcs_server import GcsServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training import heartbeat, metrics, renewal
from airflow_provider_kinetic.job.training.checkpoints import read_record
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.series import Series, read_rows
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import FileVault, below


def steps(rows, name="loss", group="train"):
    return [row.step for row in rows if row.group == group and name in row.values]


# Whatever dies when


class Dead(BaseException):
    """The process is gone: nothing after this happens."""


class Mortal:
    """A vault of a process that dies before or after one of its calls, and from then on reaches nothing."""

    def __init__(self, vault, calls, after):
        self._vault = vault
        self._left = calls
        self._after = after

    def __getattr__(self, name):
        method = getattr(self._vault, name)

        def call(*args, **options):
            self._left -= 1
            if self._left < 0 or (self._left == 0 and not self._after):
                self._left = 0
                raise Dead
            result = method(*args, **options)
            if self._left == 0:
                getattr(result, "close", int)()
                raise Dead
            return result

        return call


def train(uri, vault, flushes, last):
    """One life: a row a step, a checkpoint every third one."""
    trial = Trial(uri, Keep(latest=2), vault)
    with trial.restore() as found:
        begun = found.step if found else 0
    for step in range(begun + 1, last + 1):
        trial.log({"loss": step / 2}, step=step)
        if step % 2 == 0:
            trial.log({"accuracy": step}, step=step, group="validation")
        if step in flushes:
            trial._metrics.flush()
        if step % 3 == 0:
            with trial.save(step) as folder:
                (folder / "state").write_text(str(step))
    trial.close()


def whole(rows, last):
    assert [(row.step, row.values) for row in rows if row.group == "train"] == [
        (step, {"loss": step / 2}) for step in range(1, last + 1)
    ]
    assert steps(rows, "accuracy", "validation") == list(range(2, last + 1, 2))


LIVES = st.lists(
    st.tuples(st.integers(1, 60), st.booleans(), st.sets(st.integers(1, 14)), st.integers(1, 14)), max_size=6
)


def live(uri, vault, lives):
    for calls, after, flushes, last in lives:
        with contextlib.suppress(Dead):
            train(uri, Mortal(vault, calls, after), flushes, last)
    train(uri, vault, {4}, 14)


@pytest.fixture
def still(monkeypatch):
    """Threads that wait have nothing to do with what is tested, and a death in them is none of the loop's."""
    monkeypatch.setattr(metrics, "EVERY", 3600)
    monkeypatch.setattr(heartbeat, "FIRST", 3600)
    monkeypatch.setattr(renewal, "FIRST", 3600)
    monkeypatch.setattr("threading.excepthook", lambda _: None)


MANY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.kills
@pytest.mark.usefixtures("still")
@MANY
@given(lives=LIVES)
def test_the_series_is_whole_whatever_was_killed_on_files(lives, tmp_path, scratch):
    folder = tmp_path / "out"
    shutil.rmtree(folder, ignore_errors=True)
    live(path_to_uri(folder), FileVault(), lives)
    whole(read_rows(FileVault(), TrialLayout(path_to_uri(folder))), 14)
    clear(scratch)


@pytest.mark.kills
@pytest.mark.usefixtures("still")
@settings(MANY, max_examples=30)
@given(lives=LIVES)
def test_the_series_is_whole_whatever_was_killed_in_cloud_storage(lives, scratch):
    with GcsServer("tests") as server:
        session = Session({"STORAGE_EMULATOR_HOST": server.url}, patience=10)
        vault = GcsVault(session)
        live("gs://tests/out", vault, lives)
        whole(read_rows(vault, TrialLayout("gs://tests/out")), 14)
        session.close()
    clear(scratch)


def clear(scratch: Path):
    """What the dead have left on this machine."""
    for folder in scratch.iterdir():
        shutil.rmtree(folder)


# Where attempts go on


def test_an_attempt_that_orbax_has_restored_continues_the_series(place):
    """Its steps are parents as ours are: what was logged before does not disappear."""
    first = place.begin()
    for step in range(1, 8):
        first.log({"loss": 1}, step=step)
        if step == 5:
            place.vault.write(below(place.uri, "checkpoints/5/commit_success.txt"), b"")
    first.close()
    second = place.begin()
    for step in (6, 7, 8):
        second.log({"loss": 2}, step=step)
    second.close()
    rows = read_rows(place.vault, place.layout)
    assert [(row.step, row.values["loss"], row.attempt) for row in rows] == [
        *((step, 1, 1) for step in range(1, 6)),
        *((step, 2, 2) for step in (6, 7, 8)),
    ]


def logged(place, steps, value, **more):
    """An attempt with these rows, and none of our checkpoints."""
    with place.begin() as trial:
        for step in steps:
            trial.log({"loss": value, **more}, step=step)


def test_code_that_goes_on_from_a_file_of_its_own_continues_the_series(place):
    logged(place, range(1, 6), 1)
    logged(place, range(6, 11), 2)
    rows = read_rows(place.vault, place.layout)
    assert [(row.step, row.values["loss"]) for row in rows] == [(s, 1 if s < 6 else 2) for s in range(1, 11)]
    summary = read_record(place.vault, place.layout.summary)
    assert (summary["step"], summary["series"]["train/loss"]["count"]) == (10, 10)


def test_code_that_begins_again_replaces_the_series_from_there_on(place):
    logged(place, range(1, 101), 1)
    logged(place, range(1, 4), 2)
    assert [(row.step, row.values) for row in read_rows(place.vault, place.layout)] == [
        (step, {"loss": 2}) for step in (1, 2, 3)
    ]
    summary = read_record(place.vault, place.layout.summary)
    assert (summary["step"], summary["series"]["train/loss"]["count"]) == (3, 3)


def test_how_far_a_trial_is_says_the_newest_attempt_that_has_logged_any(place):
    logged(place, range(1, 101), 1, accuracy=1)
    logged(place, range(1, 4), 2)
    assert read_record(place.vault, place.layout.summary)["step"] == 3


def test_code_that_goes_on_before_its_checkpoint_replaces_rows(place, saved):
    first = place.begin()
    for step in range(1, 11):
        first.log({"loss": 1}, step=step)
    saved(first, 10)
    second = place.begin()
    for step in (4, 5):
        second.log({"loss": 2}, step=step)
    second.close()
    assert [row.values["loss"] for row in read_rows(place.vault, place.layout)] == [1, 1, 1, 2, 2]


def test_what_each_attempt_says_at_its_beginning_takes_no_curve_away(place, saved):
    for attempt, begun in enumerate((0, 10, 20), 1):
        trial = place.begin()
        trial.log({"parameters": 7}, step=0)
        for step in range(begun + 1, begun + 11):
            trial.log({"loss": attempt}, step=step)
        trial._metrics.summarize()
        saved(trial, begun + 10)
        trial.close()
    rows = read_rows(place.vault, place.layout)
    assert steps(rows) == list(range(1, 31))
    assert steps(rows, "parameters") == [0]
    curves = read_record(place.vault, place.layout.summary)["series"]
    assert (curves["train/loss"]["count"], curves["train/parameters"]["count"]) == (30, 1)


def test_rows_of_a_replaced_attempt_do_not_count(place, saved):
    zombie = place.begin()
    zombie.log({"loss": 1}, step=1)
    saved(zombie, 1)
    newer = place.begin()
    zombie.log({"loss": 1}, step=2)
    zombie.close()
    assert steps(read_rows(place.vault, place.layout)) == [1]
    newer.log({"loss": 2}, step=2)
    newer.close()
    assert [row.values["loss"] for row in read_rows(place.vault, place.layout)] == [1, 2]


# Read again


def test_what_is_known_is_not_read_again(place, monkeypatch):
    monkeypatch.setattr(metrics, "CALM", 0)
    trial, series, asked = place.begin(), Series(place.vault, place.layout), []
    tail, read = place.vault.tail, place.vault.read
    monkeypatch.setattr(place.vault, "tail", lambda uri, start: asked.append(start) or tail(uri, start))
    monkeypatch.setattr(place.vault, "read", lambda uri: asked.append(uri) or read(uri))
    size = 0
    for step in range(1, 5):
        trial.log({"loss": step}, step=step)
        trial._metrics.flush()
        asked.clear()
        assert steps(series.rows()) == list(range(1, step + 1))
        assert [each for each in asked if "attempts" not in str(each)] == [size or place.layout.segment(1, 1)]
        size = len(read(place.layout.segment(1, 1)))
        asked.clear()
        assert steps(series.rows()) == list(range(1, step + 1))
        assert asked == []


def test_a_reader_follows_from_attempt_to_attempt(place, saved):
    series = Series(place.vault, place.layout)
    assert series.rows() == []
    for attempt in range(3):
        trial = place.begin()
        for step in range(3 * attempt + 1, 3 * attempt + 6):
            trial.log({"loss": attempt}, step=step)
            if step % 3 == 0:
                saved(trial, 3 * attempt + 3)
        trial._metrics.flush()
        assert steps(series.rows()) == list(range(1, 3 * attempt + 6))
    assert [row.attempt for row in series.rows()] == [1] * 3 + [2] * 3 + [3] * 5
    assert series.rows() == read_rows(place.vault, place.layout)


def test_a_line_that_has_not_arrived_whole_is_read_the_next_time(place):
    place.begin()
    series, uri = Series(place.vault, place.layout), place.layout.segment(1, 1)
    whole = b'{"t":1,"s":1,"g":"train","m":{"loss":1}}\n{"t":1,"s":2,"g":"train","m":{"loss":2}}\n'
    for end, count in ((50, 1), (60, 1), (len(whole), 2)):
        place.vault.write(uri, whole[:end])
        assert steps(series.rows()) == list(range(1, count + 1))


def test_a_segment_that_goes_away_takes_nothing_along(place):
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    trial._metrics.flush()
    series = Series(place.vault, place.layout)
    tree = place.vault.tree
    place.vault.tree = lambda folder: [*tree(folder), *(each._replace(uri=f"{each.uri}-gone") for each in tree(folder))]
    try:
        assert len(series.rows()) <= 1
    finally:
        del place.vault.tree
    assert steps(Series(place.vault, place.layout).rows()) == [1]


def test_objects_with_other_names_are_none_of_ours(place):
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    trial.close()
    row = b'{"t":1,"s":9,"g":"train","m":{"loss":9}}\n'
    for name in (
        "a0001-p1/00000001.jsonl",
        "a0001-p0/x.json",
        "a0001-p0/a/b.jsonl",
        "b.jsonl",
        "a0009-p0/00000001.jsonl",
    ):
        place.vault.write(below(place.uri, f".kinetic/metrics/{name}"), row)
    assert steps(read_rows(place.vault, place.layout)) == [1]
