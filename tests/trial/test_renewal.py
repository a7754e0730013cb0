"""While an attempt lives, nothing of its trial grows old enough for a bucket that deletes by age."""

from __future__ import annotations

import threading
import time
import warnings

import pytest
from checkpoint_files import IN_CLOUD_STORAGE

from airflow_provider_kinetic.job.training import renewal, retention
from airflow_provider_kinetic.job.training.retention import Keep

pytestmark = IN_CLOUD_STORAGE


@pytest.fixture(autouse=True)
def ended(place):
    """No thread of a test is at work when its store is gone."""
    yield
    for trial in place.attempts:
        trial.close()
    until(lambda: "kinetic-renewal" not in {thread.name for thread in threading.enumerate()})


@pytest.fixture
def aged(place, monkeypatch):
    """What was there so many days ago, by the store's clock, until it is made anew; what was made anew."""
    tree, renew, old, renewed = place.vault.tree, place.vault.renew, {}, []

    def entries(folder, **options):
        for entry in tree(folder, **options):
            yield entry._replace(updated=entry.updated - old.get(entry.uri, 0))

    def young(uri):
        renew(uri)
        old.pop(uri, None)
        renewed.append(uri[len(place.uri) + 1 :])

    def age(days):
        old.update((f"{place.uri}/{name}", days * retention.DAY) for name in place.names())
        return renewed

    monkeypatch.setattr(place.vault, "tree", entries)
    monkeypatch.setattr(place.vault, "renew", young)
    return age


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(trial, step):
    trial.log({"loss": 1 / step}, step=step)
    trial._metrics.flush()


def test_who_only_logs_keeps_the_story(place, aged, monkeypatch):
    monkeypatch.setattr(renewal, "FIRST", 0.05)
    monkeypatch.setattr(renewal, "EVERY", 0.05)
    trial = place.begin()
    logged(trial, 1)
    renewed = aged(21)
    logged(trial, 2)
    before = set(place.names(".kinetic")) - {
        ".kinetic/metrics/a0001-p0/00000002.jsonl",
        ".kinetic/metrics/summary.json",
    }
    until(lambda: before <= set(renewed))
    assert {".kinetic/trial.json", ".kinetic/attempts/0001.json", ".kinetic/metrics/a0001-p0/00000001.jsonl"} <= before
    assert place.begin().attempt == 2


def test_it_is_done_once_a_day(place, monkeypatch):
    monkeypatch.setattr(renewal, "FIRST", 0.02)
    done = []
    monkeypatch.setattr(renewal.Renewal, "renew", lambda each: done.append(each) or True)
    trial = place.begin()
    time.sleep(0.3)
    assert done == [trial._renewal]
    monkeypatch.setattr(renewal, "EVERY", 0.02)
    again = place.begin()
    until(lambda: done.count(again._renewal) > 2)
    again.close()
    count = len(done)
    time.sleep(0.1)
    assert len(done) <= count + 1


def test_what_can_be_restored_stays_and_what_orbax_keeps_is_orbax_own(place, aged, saved):
    trial = place.begin(Keep(latest=2))
    for name in ("commit_success.txt", "state"):
        place.vault.write(f"{place.uri}/checkpoints/100/{name}", b"")
    for step in (1, 2):
        saved(trial, step)
    renewed = aged(21)
    logged(trial, 3)
    assert trial._renewal.renew()
    assert {name for name in place.names("checkpoints/") if "-a0001-" in name} <= set(renewed)
    assert not [name for name in renewed if name.startswith("checkpoints/100/")]
    renewed.clear()
    assert trial._renewal.renew()
    assert renewed == []


def test_trouble_is_said_once_and_disturbs_nobody(place, aged, gcs):
    trial = place.begin()
    aged(21)
    logged(trial, 1)
    gcs.faults.denied = {"storage.objects.create"}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert [trial._renewal.renew() for _ in range(3)] == [False] * 3
    gcs.faults.denied = set()
    assert [str(each.message).partition(":")[0] for each in told] == ["Old objects of gs"]
    assert trial._renewal.renew()


def test_neither_saves_nor_signs_of_life_wait_for_it(place, saved, monkeypatch):
    monkeypatch.setattr(renewal, "FIRST", 0.02)
    busy, go = threading.Event(), threading.Event()
    monkeypatch.setattr(renewal, "refresh", lambda *_: (busy.set(), go.wait(10)))
    trial = place.begin()
    assert busy.wait(10)
    saved(trial, 1)
    with trial.save(2, wait=False) as folder:
        (folder / "state").write_bytes(b"2")
    trial.wait()
    trial._heartbeat.beat()
    assert place.layout.heartbeat in place.vault.list(place.layout.heartbeat)
    trial.close()
    go.set()


@pytest.mark.parametrize("content", [None, b"newer"])
def test_what_is_deleted_or_written_meanwhile_does_not_come_back(place, content, monkeypatch):
    uri = f"{place.uri}/.kinetic/metrics/summary.json"
    place.vault.write(uri, b"older")
    rewrite = place.vault._rewrite

    def late(*arguments):
        place.vault.delete(uri)
        if content:
            place.vault.write(uri, content)
        return rewrite(*arguments)

    monkeypatch.setattr(place.vault, "_rewrite", late)
    place.vault.renew(uri)
    assert place.names() == ([".kinetic/metrics/summary.json"] if content else [])
    assert not content or place.vault.read(uri) == content


def test_a_trial_that_somebody_has_deleted_is_no_trouble(place):
    trial = place.begin()
    logged(trial, 1)
    place.vault.delete_tree(place.uri)
    assert trial._renewal.renew()
