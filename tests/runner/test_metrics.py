"""What a job has logged is stored, whatever became of the process that logged it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from airflow_provider_kinetic import job as api
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.job.vaults import FileVault


def logged(job):
    return [(row.step, row.values) for row in read_rows(FileVault(), TrialLayout(path_to_uri(job.output)))]


def rows(*steps):
    return [(step, {"loss": 1 / step}) for step in steps]


def log(*steps):
    from airflow_provider_kinetic import job

    for step in steps:
        job.trial().log({"loss": 1 / step}, step=step)


def finish():
    log(1, 2, 3)


def die():
    log(1, 2, 3)
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    log(1, 2, 3)
    os._exit(3)


def crash():
    import ctypes

    log(1, 2, 3)
    ctypes.string_at(0)


def stay_in_c():
    """Holding the interpreter's lock: no other thread of this process runs, and no handler."""
    log(1, 2, 3)
    print("running", flush=True)
    sum(range(10**12))


@pytest.mark.parametrize(("code", "end"), [(finish, 0), (die, 137), (leave, 3), (crash, 139)])
def test_rows_outlive_the_process(job, by_value, code, end):
    assert job.call(by_value(code)).run().code == end
    assert logged(job) == rows(1, 2, 3)
    assert job.leftovers() == []


def test_rows_are_stored_at_once_when_a_stop_is_asked_for(job, by_value):
    job.environ["KINETIC_STOP_GRACE"] = "20"
    process = job.call(by_value(stay_in_c)).start()
    assert "running" in process.stdout.readline()
    assert logged(job) == []
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 5
    while logged(job) != rows(1, 2, 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_a_stop_ends_c_and_keeps_the_rows(job, by_value):
    job.environ["KINETIC_STOP_GRACE"] = "0.5"
    process = job.call(by_value(stay_in_c)).start()
    assert "running" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert job.end(process).code == 143
    assert logged(job) == rows(1, 2, 3)


def test_nothing_is_stored_twice_by_a_job_that_ends_well(job, by_value):
    job.call(by_value(finish)).run()
    found = sorted(path.name for path in (job.output / ".kinetic/metrics").rglob("*.*"))
    assert found == ["00000001.jsonl", "summary.json"]


def test_the_next_attempt_goes_on(job, by_value):
    job.call(by_value(die)).run()
    with api.trial(job.output) as trial:
        trial.log({"loss": 1 / 4}, step=4)
    assert [step for step, _ in logged(job)] == [1, 2, 3, 4], "it goes on from something of its own"


def test_a_trial_of_another_folder_is_not_the_supervisors(job, tmp_path):
    def train(folder):
        from airflow_provider_kinetic import job

        job.trial(folder).log({"loss": 1}, step=1)
        job.trial().log({"loss": 2}, step=1)

    assert job.call(train, str(tmp_path / "other")).run().code == 0
    assert logged(job) == [(1, {"loss": 2})]
    other = read_rows(FileVault(), TrialLayout(path_to_uri(tmp_path / "other")))
    assert [row.values for row in other] == [{"loss": 1}]
