"""What a process has logged is in files until it is in the store, and the store may be away."""

from __future__ import annotations

import shutil
import threading
import time
import warnings
from pathlib import Path

import pytest
from checkpoint_files import IN_CLOUD_STORAGE
from project import until

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.training import metrics
from airflow_provider_kinetic.job.training.series import decode, read_rows
from airflow_provider_kinetic.job.training.spool import Spool, send_rest


@pytest.fixture
def folder(tmp_path, place, monkeypatch):
    """The trial is that of the job."""
    monkeypatch.setenv(protocol.ENV_ATTEMPT, "1")
    monkeypatch.setenv(protocol.ENV_OUTPUT_DIR, place.uri)
    monkeypatch.setenv(protocol.ENV_SPOOL, str(tmp_path / "spool"))
    return tmp_path / "spool"


def kept(folder):
    return [row.step for path in sorted(folder.glob("*")) for row in decode(path.read_bytes())]


def steps(place):
    return [row.step for row in read_rows(place.vault, place.layout)]


def test_rows_are_kept_until_they_are_stored(place, folder, monkeypatch):
    trial = place.begin()
    for step in (1, 2):
        trial.log({"loss": step}, step=step)
    assert kept(folder) == [1, 2]
    with monkeypatch.context() as away:
        away.setattr(place.vault, "write", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trial._metrics.flush()
    trial.log({"loss": 3}, step=3)
    assert kept(folder) == [1, 2, 3]
    trial._metrics.flush()
    assert kept(folder) == []
    trial.log({"loss": 4}, step=4)
    assert kept(folder) == [4]
    trial.close()
    assert list(folder.iterdir()) == []


def test_what_is_left_is_sent_by_who_outlives_the_process(place, folder):
    place.vault.write(place.layout.attempt(1), b'{"v": 1, "attempt": 1}')
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    trial._metrics.flush()
    for step in (2, 3):
        trial.log({"loss": step}, step=step)
    (folder / "9-1.jsonl").write_bytes(b'{"t":1,"s":4,"g":"train","m":{"loss":4}}\n{"t":1,"s":5')
    send_rest(place.vault, place.layout, 1, folder, 1)
    assert steps(place) == [1, 2, 3, 4]
    trial.close()
    assert steps(place) == [1, 2, 3, 4], "twice is once"


def test_nothing_left_is_nothing_stored(place, folder):
    folder.mkdir()
    send_rest(place.vault, place.layout, 1, folder, 1)
    assert place.names() == []


def test_a_full_disk_is_said_once_and_rows_are_stored_all_the_same(place, folder):
    place.vault.write(place.layout.attempt(1), b'{"v": 1, "attempt": 1}')
    folder.write_bytes(b"a file is where the folder should be")
    trial = place.begin()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in (1, 2, 3):
            trial.log({"loss": step}, step=step)
    assert [str(each.message).partition(":")[0] for each in said] == [
        "Metrics of the last seconds will be lost if this process is killed"
    ]
    trial.close()
    assert steps(place) == [1, 2, 3]


def test_a_folder_that_goes_away_costs_nothing_but_itself(place, folder):
    place.vault.write(place.layout.attempt(1), b'{"v": 1, "attempt": 1}')
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    with pytest.warns(UserWarning, match="will be lost if this process is killed"):
        trial._metrics.flush()
    trial.log({"loss": 2}, step=2)
    trial.close()
    assert steps(place) == [1, 2]


def test_threads_may_log_while_rows_are_sent(tmp_path):
    """No line is cut, lost before it is cleared, or refused."""
    spool, failures = Spool(tmp_path / "spool"), []
    over = threading.Event()

    def log(number):
        try:
            while not over.is_set():
                spool.append(b"%d\n" % number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        spool.turn()
        spool.clear()
    over.set()
    for thread in threads:
        thread.join()
    spool.append(b"last\n")
    assert failures == []
    lines = [line for path in (tmp_path / "spool").iterdir() for line in path.read_bytes().splitlines()]
    assert lines[-1] == b"last"
    assert set(lines) <= {b"0", b"1", b"2", b"3", b"last"}
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


@IN_CLOUD_STORAGE
def test_a_network_that_stays_away_is_said_once_and_disturbs_nobody(place, gcs, monkeypatch):
    """Longer than requests are repeated."""
    monkeypatch.setattr(metrics, "EVERY", 0.02)
    trial = place.begin()
    monkeypatch.setattr(place.vault._session, "patience", 0.05)
    gcs.fail("insert", times=10_000)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(1, 101):
            started = time.monotonic()
            trial.log({"loss": step}, step=step)
            assert time.monotonic() - started < 0.1
            time.sleep(0.005)
        deadline = time.monotonic() + 10
        while not said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
    assert len(said) == 1
    assert "Metrics could not be written and are tried again" in str(said[0].message)
    gcs.faults.clear()
    trial.close()
    assert steps(place) == list(range(1, 101))


def test_a_store_that_goes_away_again_is_said_again(place, monkeypatch):
    monkeypatch.setattr(metrics, "EVERY", 0.02)
    write, away, refused = place.vault.write, threading.Event(), []

    def now_and_then(*arguments, **options):
        if away.is_set():
            refused.append(arguments)
            raise OSError("the store is away")
        write(*arguments, **options)

    monkeypatch.setattr(place.vault, "write", now_and_then)
    with place.begin() as trial, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for outage in (1, 2):
            away.set()
            refused.clear()
            trial.log({"loss": 0.5}, step=outage)
            until(lambda: len(refused) >= 3)
            away.clear()
            until(lambda outage=outage: steps(place)[-1:] == [outage])
            time.sleep(0.1)
    assert [str(each.message) for each in said] == [
        "Metrics could not be written and are tried again: the store is away"
    ] * 2


def test_a_store_that_stays_away_costs_neither_memory_nor_open_files(place, folder, monkeypatch):
    monkeypatch.setattr(metrics, "MOST", 50)
    monkeypatch.setattr(metrics, "SEGMENT", 1)  # of one row
    place.vault.write(place.layout.attempt(1), b'{"v": 1, "attempt": 1}')
    trial = place.begin()
    with monkeypatch.context() as away, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        away.setattr(place.vault, "write", lambda *_, **__: 1 / 0)
        before = len(list(Path("/dev/fd").iterdir()))
        for step in range(1, 61):
            trial.log({"loss": step}, step=step)
            with pytest.raises(ZeroDivisionError):
                trial._metrics.flush()
        assert len(list(Path("/dev/fd").iterdir())) <= before + 1
    assert [str(each.message) for each in said] == [
        "Metrics are lost from step 52 on until the store is back: 50 rows wait for it already."
    ]
    trial._metrics.flush()
    trial.log({"loss": 61}, step=61)
    trial.close()
    assert steps(place) == [*range(1, 52), 61]
    assert list(folder.iterdir()) == []
