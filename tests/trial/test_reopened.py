"""A trial that is opened again within one attempt goes on counting; another process of it is told whose it is."""

from __future__ import annotations

import os

import pytest
from checkpoint_files import write

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import ObjectExists
from airflow_provider_kinetic.job.training import trials
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.series import decode, read_rows
from airflow_provider_kinetic.job.training.spool import Spool
from airflow_provider_kinetic.model.errors import Preempted

in_a_job = pytest.mark.usefixtures("begun_by_a_runner")


@pytest.fixture
def begun_by_a_runner(place, monkeypatch):
    """The attempt was begun by a runner."""
    monkeypatch.setenv(protocol.ENV_ATTEMPT, "1")
    monkeypatch.setenv(protocol.ENV_OUTPUT_DIR, place.uri)
    place.vault.write(place.layout.attempt(1), b'{"v": 1, "attempt": 1, "parent": null}')


@in_a_job
def test_checkpoints_are_numbered_on(place, saved):
    for steps in ((30, 40), (5, 6)):
        trial = place.begin(Keep(latest=1))
        for step in steps:
            saved(trial, step)
        trial.close()
    assert [Name.parse(each.name) for each in trial.checkpoints] == [(6, 1, 4)]


@in_a_job
def test_who_looks_once_more_has_not_finished(place, monkeypatch):
    monkeypatch.setattr(trials, "_open", {})
    with trials.trial(place.uri) as trial:
        trial.acknowledge()
    assert trials.trial(place.uri) is not trial
    with pytest.raises(Preempted):
        trials.close_all()


@in_a_job
def test_what_was_never_complete_keeps_its_number(place, saved):
    place.vault.write(f"{place.layout.data(str(Name(7, 1, 3)))}/left", b"")
    place.vault.write(f"{place.layout.data(str(Name(7, 2, 9)))}/of another attempt", b"")
    saved(trial := place.begin(), 7)
    assert Name.parse(trial.latest.name) == (7, 1, 4)


@in_a_job
def test_rows_of_both_are_there(place):
    for step in (1, 2, 3):
        trial = place.begin()
        trial.log({"loss": step}, step=step)
        trial._metrics.flush()
        trial.log({"more": step}, step=step)
        trial.close()
    assert [(row.step, row.values) for row in read_rows(place.vault, place.layout)] == [
        (step, {"loss": step, "more": step}) for step in (1, 2, 3)
    ]
    assert len([name for name in place.names(".kinetic/metrics") if name.endswith(".jsonl")]) <= 6


@in_a_job
def test_two_at_once_take_nothing_from_each_other(place):
    both = [place.begin(), place.begin()]
    for step in range(1, 7):
        both[step % 2].log({"loss": step}, step=step)
        both[step % 2]._metrics.flush()
    assert [row.step for row in read_rows(place.vault, place.layout)] == [1, 2, 3, 4, 5, 6]


def test_rows_whose_answer_was_lost_are_there_once(place, monkeypatch):
    trial, write = place.begin(), place.vault.write

    def arrives(uri, data, **options):
        write(uri, data, **options)
        raise OSError("no answer")

    trial.log({"loss": 1}, step=1)
    with monkeypatch.context() as away:
        away.setattr(place.vault, "write", arrives)
        with pytest.raises(OSError, match="no answer"):
            trial._metrics.flush()
    trial.log({"loss": 2}, step=2)
    trial._metrics.flush()
    segments = [name for name in place.names(".kinetic/metrics") if name.endswith(".jsonl")]
    assert [name.rpartition("/")[2] for name in segments] == ["00000001.jsonl"]
    assert [row.step for row in read_rows(place.vault, place.layout)] == [1, 2]


def test_a_flush_ends_while_others_log(place):
    trial = place.begin()
    write = place.vault.write

    def logs(uri, data, **options):
        if uri.endswith(".jsonl"):
            calls.append(uri)
            trial.log({"loss": 1}, step=len(calls))
            assert len(calls) < 9
        write(uri, data, **options)

    calls = []
    place.vault.write = logs
    try:
        trial.log({"loss": 1}, step=0)
        trial._metrics.flush()
    finally:
        del place.vault.write
    assert len(calls) == 1


def test_a_spool_leaves_files_alone_that_are_still_to_be_sent(tmp_path):
    folder = tmp_path / "spool"
    former, again = Spool(folder), Spool(folder)
    former.append(b'{"t":1,"s":1,"g":"a","m":{}}\n')
    again.append(b'{"t":1,"s":2,"g":"a","m":{}}\n')
    again.close()
    assert [row.step for path in folder.iterdir() for row in decode(path.read_bytes())] == [1]
    former.close()


def test_nothing_is_saved_into_a_closed_trial(place, saved):
    trial = place.begin()
    trial.close()
    with pytest.raises(ValueError, match="is closed"):
        saved(trial, 1)
    assert trial.latest is None


def test_a_process_that_was_forked_off_neither_saves_nor_hangs(place, saved):
    trial = place.begin()
    with trial.save(1, wait=False) as folder:
        write(folder, {"state": b"1"})
    child = os.fork()
    if not child:
        heard = b""
        try:
            for refused in (lambda: trial.log({"a": 1}, step=1), lambda: saved(trial, 2)):
                try:
                    refused()
                except ValueError as error:
                    heard += str(error)[:20].encode()
            trial.wait()
            trial.close()
        finally:
            os._exit(0 if heard == b"the trial belongs to" * 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    trial.wait()
    assert [each.step for each in trial.checkpoints] == [1]


def test_of_two_saves_in_the_background_no_trouble_is_lost(place):
    trial = place.begin()
    for error in (ObjectExists("one"), ObjectExists("two")):
        trial._saver._pending.append(trial._saver._background.submit(_raise, error))
    for text in ("one", "two"):
        with pytest.raises(ObjectExists, match=text):
            trial.wait()
    trial.wait()


def _raise(error):
    raise error


@pytest.mark.parametrize(("code", "state"), [(None, "COMPLETED"), (0, "COMPLETED"), (1, "FAILED"), (143, "FAILED")])
def test_code_that_exits_well_has_completed(place, code, state):
    with pytest.raises(SystemExit), place.begin():
        raise SystemExit(code)
    assert f'"state": "{state}"'.encode() in place.vault.read(place.layout.attempt_end(1))
