"""A function that gets nowhere is ended, wherever it hangs; one that gets on is left alone."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from runner_job import Job

from airflow_provider_kinetic.job import phases
from airflow_provider_kinetic.job.phases import Progress
from airflow_provider_kinetic.job.stall import SAVING, Pulse, StallWatch

TIMEOUT = 0.8


def ended(job, function, *args, timeout=TIMEOUT, grace=1.0):
    job.environ.update(KINETIC_STALL_TIMEOUT=str(timeout), KINETIC_STOP_GRACE=str(grace))
    return job.call(function, *args).run()


def hanging_in_c():
    """With the lock of the interpreter, so that no thread of the process runs any more."""
    from airflow_provider_kinetic import job

    trial = job.trial()
    trial.log({"loss": 1.0}, step=1)
    with trial.save(1):
        pass
    sum(range(10**12))


def asleep():
    time.sleep(60)


def log_the_same_step():
    from airflow_provider_kinetic import job

    while True:
        job.trial().log({"loss": 1.0}, step=7)
        time.sleep(0.01)


SLOW = [pytest.param(function, marks=pytest.mark.faults) for function in (asleep, log_the_same_step)]


@pytest.mark.parametrize("function", [hanging_in_c, *SLOW], ids=lambda one: one.__name__)
def test_a_function_that_does_not_get_on_is_ended(job, function, by_value):
    found = ended(job, by_value(function))

    assert found.code == 118
    assert found.termination["outcome"] == "stalled"
    assert "for 0.8 s (stall_timeout)" in found.termination["reason"]
    end = job.record("attempts/0001.end.json")
    assert (end["state"], end["error"]["type"]) == ("FAILED", "stalled")
    assert not (job.output / ".kinetic" / "preempt").exists()
    assert not job.has_result()
    assert job.leftovers() == []


@pytest.mark.faults
def test_the_log_shows_where_it_hung(job, by_value):
    found = ended(job, by_value(asleep))

    assert "in asleep" in found.output
    assert "in asleep" in job.log()
    assert "the function is ended" in job.log()


def saving_when_asked_to_stop():
    from airflow_provider_kinetic import job

    trial = job.trial()
    step = trial.latest.step if trial.latest else 0
    while not trial.stopping():
        time.sleep(0.02)
    with trial.save(step + 5):
        pass
    trial.exit_if_stopping()


@pytest.mark.faults
def test_it_may_still_save_and_another_attempt_goes_on(job, by_value):
    for step in (5, 10):
        assert ended(job, by_value(saving_when_asked_to_stop), grace=10).code == 118
        number = step // 5
        assert job.record(f"attempts/{number:04d}.end.json")["checkpoint"]["step"] == step


def getting_on(how):
    from airflow_provider_kinetic import job

    trial = job.trial()
    end = time.monotonic() + 11
    step = 0
    while time.monotonic() < end:
        step += 1
        if how == "log":
            trial.log({"loss": 1.0}, step=step)
        elif how == "progress":
            trial.progress(min(1.0, step / 100))
        elif how == "status":
            trial.status(f"batch {step}")
        elif how == "stopping":
            trial.stopping(step)
        else:
            with trial.save(step):
                pass
        time.sleep(0.05)
    return step


@pytest.mark.faults
def test_whatever_says_that_it_gets_on(tmp_path, by_value):
    """Side by side, with a limit that a busy machine keeps to as well."""
    jobs = {how: Job(tmp_path / how) for how in ("log", "progress", "status", "save", "stopping")}
    started = {}
    for how, job in jobs.items():
        job.environ["KINETIC_STALL_TIMEOUT"] = "5"
        started[how] = job.call(by_value(getting_on), how).start()
    assert {how: jobs[how].end(process).code for how, process in started.items()} == dict.fromkeys(jobs, 0)


def slow_to_start():
    time.sleep(1.6)


@pytest.mark.faults
def test_nobody_looks_unless_asked_to(job, by_value):
    assert ended(job, by_value(slow_to_start), timeout=0).code == 0


@pytest.mark.faults
def test_a_value_outranks_the_stall(job, by_value):
    """As it does a stop: what is computed counts."""

    def value_after_all():
        heard = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: heard.set())
        heard.wait(60)
        return 7

    found = ended(job, by_value(value_after_all), grace=10)
    assert found.code == 0
    assert job.result()["result"] == 7


# The parts, without processes.


@pytest.fixture
def folder(tmp_path):
    Progress(tmp_path / "phase").enter(phases.EXECUTE)
    return tmp_path


def looks(watch, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if watch.look():
            return True
        time.sleep(0.01)
    return False


def test_only_the_function_itself_can_stall(folder):
    Progress(folder / "phase").enter(phases.UPLOAD)
    assert not looks(StallWatch(0.1, folder / "phase", folder / "pulse"), 0.5)


def test_it_is_told_once(folder):
    watch = StallWatch(0.1, folder / "phase", folder / "pulse")
    assert looks(watch, 2)
    assert not looks(watch, 0.3)
    assert watch.stalled


def test_time_that_the_supervisor_did_not_live_through_does_not_count(folder):
    """A machine that was frozen with everything on it."""
    watch = StallWatch(0.4, folder / "phase", folder / "pulse")
    time.sleep(0.15)
    assert not watch.look()
    time.sleep(0.5)
    assert not watch.look()


def test_a_save_on_its_way_is_getting_on_but_not_for_ever(folder):
    assert SAVING > 600
    pulse = Pulse(folder / "pulse", 0.2, lambda: 0, lambda: True, most=1.0)
    pulse.start()
    watch = StallWatch(0.2, folder / "phase", folder / "pulse")
    try:
        assert not looks(watch, 0.8)
        assert looks(watch, 3)
    finally:
        pulse.close()
