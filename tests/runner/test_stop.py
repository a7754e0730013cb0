"""SIGTERM: the user's code may end in its own way, must end in time, and another attempt continues."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest


def begin(job, grace, word="running"):
    """Start and wait until the user's code says so."""
    job.environ["KINETIC_STOP_GRACE"] = str(grace)
    process = job.start()
    assert word in process.stdout.readline()
    return process


def assert_preempted(job, ended):
    assert ended.code == 143
    assert not job.has_result()
    assert job.record("attempts/0001.end.json")["state"] == "PREEMPTED"
    assert ended.termination["outcome"] == "preempted"
    assert ended.termination["objects"] == {}
    assert job.leftovers() == []


def sleeping():
    print("running", flush=True)
    time.sleep(60)


def busy():
    print("running", flush=True)
    while True:
        pass


def waiting_in_a_coroutine():
    print("running", flush=True)
    asyncio.run(asyncio.sleep(60))


def deaf():
    """Neither signals nor exceptions reach code that stays in C."""
    print("running", flush=True)
    sum(range(10**12))


def stubborn():
    print("running", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            print("no", flush=True)


def with_a_handler_that_ignores():
    signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
    print("running", flush=True)
    time.sleep(60)


def ignoring_the_signal():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("running", flush=True)
    time.sleep(60)


@pytest.mark.parametrize(
    "code",
    [sleeping, busy, waiting_in_a_coroutine, deaf, stubborn, with_a_handler_that_ignores, ignoring_the_signal],
    ids=lambda code: code.__name__,
)
def test_code_that_does_not_stop_is_stopped_within_the_grace(job, code, by_value):
    process = begin(job.call(by_value(code)), grace=0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert 0.35 < time.monotonic() - began < 2.5
    assert_preempted(job, ended)


def test_a_signal_to_the_whole_group_is_the_same(job, by_value):
    job.group = True
    process = begin(job.call(by_value(sleeping)), grace=0.5)
    os.killpg(process.pid, signal.SIGTERM)
    assert_preempted(job, job.end(process))


def test_the_stop_is_noticed_at_once(job, by_value):
    process = begin(job.call(by_value(deaf)), grace=20)
    process.send_signal(signal.SIGTERM)
    notice = job.output / ".kinetic" / "preempt" / "a0001-p0.json"
    deadline = time.monotonic() + 5
    while not (notice.exists() and "running" in job.log()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()


def test_work_that_completes_in_time_is_a_success(job):
    def finish():
        print("running", flush=True)
        time.sleep(0.5)
        return "finished"

    process = begin(job.call(finish), grace=10)
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert ended.code == 0
    assert job.result()["result"] == "finished"
    assert job.record("attempts/0001.end.json")["state"] == "COMPLETED"


def test_the_users_handler_is_respected(job):
    def train():
        stopping = []
        signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
        print("running", flush=True)
        while not stopping:
            time.sleep(0.01)
        return "saved"

    process = begin(job.call(train), grace=10)
    process.send_signal(signal.SIGTERM)
    assert job.end(process).code == 0
    assert job.result()["result"] == "saved"


@pytest.mark.parametrize("how", ["sys.exit(0)", "sys.exit(143)", "KeyboardInterrupt"])
def test_leaving_because_of_the_stop_is_no_outcome(job, how):
    def train():
        def leave(*_):
            if how == "KeyboardInterrupt":
                raise KeyboardInterrupt
            sys.exit(0 if how == "sys.exit(0)" else 143)

        signal.signal(signal.SIGTERM, leave)
        print("running", flush=True)
        time.sleep(60)

    process = begin(job.call(train), grace=10)
    process.send_signal(signal.SIGTERM)
    assert_preempted(job, job.end(process))


def test_an_error_during_the_grace_is_still_an_error(job):
    def train():
        def fail(*_):
            raise ValueError("broken")

        signal.signal(signal.SIGTERM, fail)
        print("running", flush=True)
        time.sleep(60)

    process = begin(job.call(train), grace=10)
    process.send_signal(signal.SIGTERM)
    assert job.end(process).code == 1
    assert str(job.result()["exception"]) == "broken"


def test_last_lines_before_the_end_are_kept(job):
    def train():
        try:
            print("running", flush=True)
            time.sleep(60)
        finally:
            print("cleaned up")

    process = begin(job.call(train), grace=0.5)
    process.send_signal(signal.SIGTERM)
    assert "cleaned up" in job.end(process).output
    assert "cleaned up" in job.log()


def test_a_stop_before_the_function_runs(job):
    class Slow:
        def __reduce__(self):
            return (time.sleep, (60,))

    job.environ["KINETIC_STOP_GRACE"] = "0.5"
    process = job.call(len, Slow()).start()
    deadline = time.monotonic() + 10
    while not any(file.read_text() == "payload unpickle" for file in job.scratch.glob("*/phase")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert_preempted(job, job.end(process))


def test_user_code_can_ask(job):
    def train():
        print("running", flush=True)
        while not Path(os.environ["KINETIC_STOP_FILE"]).exists():
            time.sleep(0.01)
        return "asked"

    process = begin(job.call(train), grace=10)
    process.send_signal(signal.SIGTERM)
    assert job.end(process).code == 0
    assert job.result()["result"] == "asked"


@pytest.mark.skipif(not hasattr(signal, "SIGRTMAX"), reason="the kernel ends orphans on Linux only")
def test_user_code_does_not_outlive_its_supervisor(job):
    pulse = job.folder / "pulse"

    def train():
        Path(pulse).touch()
        print("running", flush=True)
        while True:
            Path(pulse).write_text(str(time.time()))
            time.sleep(0.01)

    process = begin(job.call(train), grace=10)
    process.kill()
    process.communicate()
    time.sleep(0.1)
    last = pulse.read_text()
    time.sleep(0.3)
    assert pulse.read_text() == last
