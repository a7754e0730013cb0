"""A restore begins with the files: opening has read which checkpoint is the last one, and the store is asked beside."""

from __future__ import annotations

import json
import threading

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, read, write

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.retention import Keep, delete

FILES = {"a": b"1", "b": b"2"}


@pytest.fixture
def kept(place):
    """Two checkpoints of an earlier attempt."""
    trial = place.begin()
    for step in (1, 2):
        with trial.save(step) as folder:
            write(folder, FILES)
    trial.close()
    return trial.checkpoints


@pytest.fixture(params=["in a script", "in a job"])
def begin(request, place, monkeypatch):
    """A new attempt; a job's was begun by its runner."""

    def begun():
        if request.param == "in a job":
            parent = {"attempt": 1, "checkpoint": {"step": 2, "uri": "2"}, "seq": 2}
            record = {"v": 1, "attempt": 2, "nonce": "2", "parent": parent}
            place.vault.write(place.layout.attempt(2), json.dumps(record).encode())
            monkeypatch.setenv(protocol.ENV_ATTEMPT, "2")
            monkeypatch.setenv(protocol.ENV_OUTPUT_DIR, place.uri)
        return place.begin()

    return begun


@pytest.mark.usefixtures("kept")
def test_no_answer_is_waited_for_before_the_files(place, begin, monkeypatch):
    trial, arrived, patient = begin(), threading.Event(), []
    fetch, look = place.vault.fetch, place.vault.list

    def fetched(*args):
        arrived.set()
        return fetch(*args)

    def listed(prefix):
        patient.append(arrived.wait(5))
        return look(prefix)

    monkeypatch.setattr(place.vault, "fetch", fetched)
    monkeypatch.setattr(place.vault, "list", listed)
    monkeypatch.setattr(place.vault, "read", lambda uri: pytest.fail(f"{uri} is known"))
    with trial.restore() as found:
        assert (found.step, read(found.path)) == (2, FILES)
    assert patient == [True] * 3


@IN_CLOUD_STORAGE
@pytest.mark.usefixtures("kept")
def test_the_last_one_is_told_from_names_alone(begin, gcs):
    trial = begin()
    before = dict(gcs.requests)
    assert trial.latest.step == 2
    spent = {kind for kind, count in gcs.requests.items() if count > before.get(kind, 0)}
    assert spent == {"list"}, "its record was read when the attempt began"


def test_what_was_deleted_since_is_not_restored(place, begin, kept):
    trial = begin()
    delete(place.vault, place.layout, kept[-1].name)
    with trial.restore() as found:
        assert (found.step, read(found.path)) == (1, FILES)
    delete(place.vault, place.layout, kept[0].name)
    with trial.restore() as found:
        assert found is None


def test_what_is_being_deleted_is_not_restored(place, begin, kept):
    """Its files may all be there still."""
    trial = begin()
    place.vault.write(place.layout.tombstone(kept[-1].name), b"{}")
    with trial.restore() as found:
        assert found.step == 1
        assert list(found.path.parent.iterdir()) == [found.path], "what came in vain takes no room"


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("begin", ["in a job"], indirect=True)
def test_what_another_process_of_the_job_saved_since_is_restored(place, begin, saved):
    trial = begin()
    saved(place.begin(), 3)
    with trial.restore() as found:
        assert Name.parse(found.name) == (3, 2, 1)


@pytest.mark.usefixtures("kept")
def test_a_replaced_attempt_has_not_saved_what_comes_late(place, saved, monkeypatch):
    zombie = place.begin(Keep(latest=9))
    trial = place.begin()
    monkeypatch.setattr(zombie._fence, "check", lambda: None)
    saved(zombie, 9)
    with trial.restore() as found:
        assert found.step == 2
    assert trial.latest.step == 2


@pytest.mark.usefixtures("kept")
def test_what_was_just_saved_is_restored(begin, saved):
    trial = begin()
    saved(trial, 5)
    with trial.restore() as found:
        assert found.step == 5
