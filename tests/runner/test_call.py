"""The function is called once, with its arguments, and what became of it comes back (contract 5.5, 7.5)."""

from __future__ import annotations

import os
import sys

import pytest

from airflow_provider_kinetic.job import protocol


def test_value_and_its_digest(job):
    def add(a, b, *, c):
        return a + b + c

    ended = job.call(add, 1, 2, c=3).run()
    assert ended.code == 0, ended.output
    assert job.result() == {
        "success": True,
        "result": 6,
        "exception": None,
        "traceback": None,
        "phase": "execute",
        "host_index": 0,
    }
    assert ended.termination == {
        "v": 1,
        "outcome": "success",
        "phase": "execute",
        "attempt": 1,
        "objects": {"result.pkl": {**job.facts("result.pkl"), "type": "int", "json": True}},
        "reason": "",
    }
    assert job.leftovers() == []


@pytest.mark.parametrize(
    ("source", "kind", "json"),
    [
        ("{'a': [1, 2.5, None, True, 'x', ()]}", "dict", True),
        ("{1: 'a key that is no text'}", "dict", False),
        ("[{1, 2}]", "list", False),
        ("__import__('collections').OrderedDict(a=1)", "collections.OrderedDict", False),
        ("(lambda around: around.append(around) or around)([])", "list", False),
    ],
)
def test_readers_learn_what_the_value_is_before_they_open_it(job, source, kind, json):
    ended = job.call(eval, source).run()
    entry = ended.termination["objects"]["result.pkl"]
    assert (entry["type"], entry["json"]) == (kind, json)


def test_closures_and_local_classes_travel_by_value(job):
    class Point:
        def __init__(self, x):
            self.x = x

    offset = 40

    def shift(point):
        return Point(point.x + offset)

    assert job.call(shift, Point(2)).run().code == 0
    assert job.result()["result"].x == 42


def test_coroutines_are_awaited(job):
    async def compute(x):
        import asyncio

        await asyncio.sleep(0)
        return x * 2

    assert job.call(compute, 21).run().code == 0
    assert job.result()["result"] == 42


def test_environment_is_set_before_the_call(job):
    def read():
        import os

        return os.environ["GIVEN"], os.environ["ALREADY"]

    job.environ["ALREADY"] = "there"
    assert job.call(read, payload={"env_vars": {"GIVEN": "by the payload"}}).run().code == 0
    assert job.result()["result"] == ("by the payload", "there")


def test_the_users_exception_comes_back(job):
    class Diverged(Exception):
        def __init__(self, loss):
            super().__init__(f"loss is {loss}")
            self.loss = loss

        def __reduce__(self):
            return (Diverged, (self.loss,))

    def train():
        raise Diverged(7.5)

    ended = job.call(train).run()
    result = job.result()
    assert ended.code == 1
    assert type(result["exception"]).__name__ == "Diverged"
    assert result["exception"].loss == 7.5
    assert result["success"] is False
    assert result["phase"] == "execute"
    assert "loss is 7.5" in result["traceback"]
    assert "execution.py" not in result["traceback"]
    assert "loss is 7.5" in ended.output
    assert ended.termination["outcome"] == "failure"
    assert job.record("attempts/0001.end.json")["state"] == "FAILED"


@pytest.mark.parametrize(
    ("leave", "code", "text"),
    [
        (lambda: sys.exit(), 0, None),
        (lambda: sys.exit(0), 0, None),
        (lambda: sys.exit(3), 1, "sys.exit(3)"),
        (lambda: sys.exit("no data"), 1, "'no data'"),
        (lambda: (_ for _ in ()).throw(KeyboardInterrupt("stop")), 1, "KeyboardInterrupt: stop"),
        (lambda: (_ for _ in ()).throw(BaseException("odd")), 1, "BaseException: odd"),
    ],
    ids=["exit", "exit-0", "exit-3", "exit-text", "interrupt", "base-exception"],
)
def test_ways_to_leave(job, leave, code, text):
    assert job.call(leave).run().code == code
    result = job.result()
    assert result["success"] is (code == 0)
    assert result["result"] is None
    if text:
        assert type(result["exception"]) is RuntimeError
        assert text in str(result["exception"])


@pytest.mark.parametrize(
    ("die", "code"),
    [(lambda: os._exit(3), 3), (lambda: os.kill(os.getpid(), 9), 137), (lambda: os.abort(), 134)],
    ids=["_exit", "killed", "aborted"],
)
def test_hard_ends_leave_their_code_and_no_result(job, die, code):
    def last_words():
        print("last line", end="", flush=True)
        die()

    ended = job.call(last_words).run()
    assert ended.code == code
    assert not job.has_result()
    assert job.log() == "last line"
    assert job.record("attempts/0001.end.json")["state"] == "FAILED"
    assert ended.termination["outcome"] == "failure"
    assert ended.termination["phase"] == "execute"


def test_value_that_cannot_be_pickled(job):
    def lock():
        import threading

        return threading.Lock()

    assert job.call(lock).run().code == 1
    result = job.result()
    assert result["phase"] == "result serialization"
    assert result["serialization_failed"] is True
    assert "lock" in result["result_repr"]
    assert "lock" in str(result["exception"])


@pytest.mark.parametrize("how", ["cannot be written", "cannot be read back"])
def test_exception_that_cannot_travel(job, how):
    def fail():
        import threading

        class Awkward(Exception):
            def __init__(self, _one, _two):
                super().__init__("awkward text")
                if how == "cannot be written":
                    self.lock = threading.Lock()

        raise Awkward(1, 2)

    assert job.call(fail).run().code == 1
    result = job.result()
    assert type(result["exception"]) is RuntimeError
    assert "awkward text" in str(result["exception"])
    assert "awkward text" in result["traceback"]
    assert result["serialization_failed"] is True


def test_threads_that_linger_do_not_hold_the_job(job):
    def leave_a_thread():
        import threading
        import time

        threading.Thread(target=time.sleep, args=(60,)).start()
        print("not lost")
        return "done"

    ended = job.call(leave_a_thread).run()
    assert ended.code == 0
    assert job.result()["result"] == "done"
    assert "not lost" in job.log()


def test_worker_processes_of_the_user(job):
    def fan_out():
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(len, ["a", "bb"])

    ended = job.call(fan_out).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == [1, 2]


def test_exit_functions_run(job):
    def register():
        import atexit

        atexit.register(print, "said goodbye")

    assert "said goodbye" in job.call(register).run().output


def test_large_results_are_held_once(job):
    size = 200 * 1024 * 1024

    def large():
        return b"x" * size

    # A small process between: the kernel counts the size of whoever starts a process as its own peak.
    measure = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call(sys.argv[2:])\n"
        "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n"
        "sys.exit(code)"
    )
    peak = job.folder / "peak"
    job.frozen_argv = [sys.executable, "-c", measure, str(peak), *job.call(large).argv()]
    assert job.run().code == 0
    unit = 1 if sys.platform == "darwin" else 1024
    assert (job.artifacts / "result.pkl").stat().st_size >= size
    assert size < int(peak.read_text()) * unit < 1.4 * size


def test_data_arguments_are_refused(job):
    assert job.call(len, "x", payload={"volumes": ["ref"]}).run().code == 1
    assert job.result()["phase"] == "data resolve"


def test_result_that_cannot_be_stored(job):
    job.call(len, "four")
    (job.artifacts / "result.pkl").mkdir()
    ended = job.run()
    assert ended.code == 1
    assert ended.termination["outcome"] == "failure"
    assert ended.termination["phase"] == "upload"
    assert job.record("attempts/0001.end.json")["state"] == "FAILED"


@pytest.mark.parametrize("name", ["API_TOKEN", "DATABASE"])
def test_secrets_are_not_recorded(job, name):
    """Whether their names tell, or the task."""

    def fail(name):
        import os

        raise ValueError("refused: " + os.environ[name])

    job.environ |= {name: "abc-very-secret", "KINETIC_MASKED": "DATABASE"}
    ended = job.call(fail, name).run()
    end = job.record("attempts/0001.end.json")
    assert end["error"] == {"type": "ValueError", "text": "refused: ***"}
    assert "abc-very-secret" not in str(end) + str(ended.termination)


def test_long_reasons_fit_into_the_termination_message(job):
    def fail():
        raise ValueError("é\n" * 9000)

    job.call(fail).run()
    raw = (job.folder / "termination").read_bytes()
    assert len(raw) <= 4096
    assert protocol.decode_termination(raw)["outcome"] == "failure"
