"""A stop of a training in a job, whatever else is odd there: its clock, its threads, its moment."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest
from gcs_server import GcsServer

from airflow_provider_kinetic.job import gcs_vault, protocol
from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import FileVault


def train(how="", last=10**6):
    import threading
    import time

    from airflow_provider_kinetic import job

    real, calls = time.time, iter(range(10**9))
    if how == "a clock that jumps":
        time.time = lambda: real() + (-3600, 0, 3600)[next(calls) % 3]
    elif how == "an hour ahead":
        time.time = lambda: real() + 3600
    if how == "a thread":
        thread = threading.Thread(target=job.trial)
        thread.start()
        thread.join()
    t = job.trial()
    with t.restore() as found:
        start = int((found.path / "state").read_text()) if found else 0
    print(f"resumed {start}", flush=True)
    for step in range(start + 1, last + 1):
        time.sleep(0.005)
        t.log({"loss": 1 / step}, step=step)
        if step % 20 == 0 or t.stopping(step):
            if t.time_left < 14:
                raise RuntimeError(f"{t.time_left} s are left of 16")
            with t.save(step, wait=step % 40 > 0) as path:
                (path / "state").write_text(str(step))
        t.exit_if_stopping()
    return start


def stop(job, pause):
    """Start, wait, send SIGTERM; the step from which it went on, and how it ended."""
    process = job.start()
    line = process.stdout.readline()
    time.sleep(pause)
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert line.startswith("resumed "), line + ended.output + job.log()
    return int(line.split()[1]), ended


LONG = pytest.mark.kills


@pytest.mark.parametrize(
    "how", ["a clock that jumps", pytest.param("an hour ahead", marks=LONG), pytest.param("a thread", marks=LONG)]
)
def test_a_stop_saves_once_more(job, by_value, how):
    job.environ["KINETIC_STOP_GRACE"] = "20"
    job.call(by_value(train), how)
    _, ended = stop(job, 0.1)
    assert ended.code == 143, ended.output
    end = job.record("attempts/0001.end.json")
    assert end["state"] == "PREEMPTED"
    assert end["checkpoint"]["step"] > 0
    resumed, ended = stop(job, 0.1)
    assert (resumed, ended.code) == (end["checkpoint"]["step"], 143), ended.output


def lose_the_store(last):
    """It is gone before the stop comes: one save fails in the background, and ``last``, the one for the stop."""
    import pathlib
    import time

    from airflow_provider_kinetic import job

    t = job.trial()
    for step in (1, 2):
        with t.save(step, wait=step == 1) as path:
            (path / "state").write_text(str(step))
            if step == 2:
                checkpoints = pathlib.Path(t.dir.removeprefix("file://"), "checkpoints")
                checkpoints.rename(checkpoints.with_name("aside"))
                checkpoints.write_text("no folder")
    print("running", flush=True)
    while not t.stopping(3):
        time.sleep(0.01)
    if last:
        with t.save(3) as path:
            (path / "state").write_text("3")
    t.exit_if_stopping()


@pytest.mark.parametrize("last", [True, pytest.param(False, marks=LONG)])
def test_a_stop_without_a_store_is_no_failure(job, by_value, last):
    process = job.call(by_value(lose_the_store), last).start()
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert (ended.code, ended.termination["outcome"]) == (143, "preempted"), ended.output
    assert "step 2 is not saved" in ended.output
    assert ("step 3 is not saved" in ended.output) == last
    assert not job.has_result()
    end = job.record("attempts/0001.end.json")
    assert (end["state"], end["checkpoint"]["step"]) == ("PREEMPTED", 1)


@pytest.fixture(params=["file", "gs"])
def store(request, job, tmp_path, monkeypatch):
    """Vault and URI of the job's output."""
    if request.param == "file":
        yield FileVault(), path_to_uri(job.output)
        return
    with GcsServer("tests") as server:
        session = Session({"STORAGE_EMULATOR_HOST": server.url})
        vault = GcsVault(session)
        monkeypatch.setattr(gcs_vault, "vault", lambda: vault)
        monkeypatch.setenv("KINETIC_TMP", str(tmp_path))
        job.environ["STORAGE_EMULATOR_HOST"] = server.url
        job.environ[protocol.ENV_OUTPUT_DIR] = "gs://tests/out"
        yield vault, "gs://tests/out"
        session.close()
        assert server.unknown == []


@pytest.mark.kills
@pytest.mark.timeout(300)
def test_stops_at_random_times(job, by_value, store):
    """Each ends with a last checkpoint, and the next one goes on from it: no step is done twice."""
    vault, uri = store
    layout, chance, expected = TrialLayout(uri), random.Random(7), 0
    job.environ |= {"KINETIC_STOP_GRACE": "20", protocol.ENV_MAX_PREEMPTIONS: "1000"}
    job.call(by_value(train))
    for attempt in range(1, 21):
        resumed, ended = stop(job, chance.uniform(0, 0.5))
        assert resumed == expected
        assert ended.code == 143, ended.output
        assert ended.termination["outcome"] == "preempted"
        end = json.loads(vault.read(layout.attempt_end(attempt)))
        assert end["state"] == "PREEMPTED"
        expected = end["checkpoint"]["step"]
        assert expected > resumed
    rows = [(row.step, row.values) for row in read_rows(vault, layout)]
    assert rows == [(step, {"loss": 1 / step}) for step in range(1, expected + 1)]
    assert job.leftovers() == []
    with Trial(uri, Keep(), vault) as trial:
        for each in trial.checkpoints:
            with trial.restore(each) as found:
                assert (found.path / "state").read_text() == str(each.step)
        assert trial.latest.step == expected
