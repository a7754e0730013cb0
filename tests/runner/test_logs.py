"""What a job prints outlives its machine, in order and complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.logs import Backlog, ChunkNames, LogShipper
from airflow_provider_kinetic.job.storage import FileStorage, path_to_uri


def test_everything_printed_is_kept_and_shown(job):
    def talk():
        print("from print")
        print("from stderr", file=sys.stderr)
        os.write(2, b"from C\n")
        subprocess.run(["/bin/sh", "-c", "echo from a subprocess"], check=True)
        print("without an end", end="")

    ended = job.call(talk).run()
    lines = "from print\nfrom stderr\nfrom C\nfrom a subprocess\nwithout an end"
    assert ended.output == lines
    assert job.log() == lines


def test_chunks_are_numbered_without_gaps_and_end_with_lines(job):
    def talk():
        for number in range(40_000):
            print(f"line {number}")

    job.call(talk).run()
    names = [chunk.name for chunk in job.chunks()]
    assert len(names) > 1
    assert names == [f"0001-{number:08d}.log" for number in range(1, len(names) + 1)]
    assert all(chunk.read_bytes().endswith(b"\n") for chunk in job.chunks())
    assert job.log().splitlines() == [f"line {number}" for number in range(40_000)]


def test_output_appears_while_the_job_runs(job):
    go = job.folder / "go"

    def talk(path):
        print("early")
        while not Path(path).exists():
            time.sleep(0.02)

    process = job.call(talk, str(go)).start()
    deadline = time.monotonic() + 10
    while not (job.output / ".kinetic/jobs/job-1/logs/0001-00000001.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.poll() is None
    assert job.log() == "early\n"
    go.touch()
    assert job.end(process).code == 0


KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----"


def test_values_that_the_task_calls_secret_are_not_kept(job):
    def talk():
        print("to", os.environ["DATABASE"])
        print("".join(f"> {line}\n" for line in os.environ["SIGNED_WITH"].splitlines()))
        os.write(1, os.environ["DATABASE"].encode() + b" once more\n" + os.fsencode(os.environ["ODD"]) + b"\n")
        print("small", os.environ["SHORT"], os.environ["TOKENIZER"])

    job.environ |= {"DATABASE": "postgres://me:pw@host", "SIGNED_WITH": KEY, "ODD": "naïve \N{KEY}", "SHORT": "ab"}
    job.environ |= {"TOKENIZER": "sentencepiece", "KINETIC_MASKED": "DATABASE MISSING ODD SHORT SIGNED_WITH"}
    ended = job.call(talk).run()
    assert job.log().splitlines() == [
        *("to ***", "> ***", "> ***", "> ***", "", "*** once more", "***"),
        "small ab sentencepiece",
    ]
    assert ended.output == job.log()


@pytest.mark.parametrize("result_format", ["pickle", "json"])
def test_an_exception_travels_without_secrets(job, result_format):
    def fail():
        raise KeyError("no user at " + os.environ["DATABASE"], 7)

    job.environ |= {"DATABASE": "postgres://me:pw@host", "KINETIC_MASKED": "DATABASE"}
    job.environ |= {"KINETIC_RESULT_FORMAT": result_format}
    ended = job.call(fail).run()
    result = job.result()
    assert result["exception"].args == ("no user at ***", 7)
    assert "no user at ***" in result["traceback"]
    assert not any(b"me:pw" in path.read_bytes() for path in job.folder.rglob("*") if path.is_file())
    assert "me:pw" not in ended.output


def test_a_value_that_cannot_be_written_is_told_without_secrets(job):
    def fail():
        class Local(threading.local):
            def __repr__(self):
                return os.environ["DATABASE"]

        return Local()

    job.environ |= {"DATABASE": "postgres://me:pw@host", "KINETIC_MASKED": "DATABASE"}
    job.call(fail).run()
    assert job.result()["result_repr"] == "***"


def test_processes_left_behind_do_not_hold_the_job(job):
    def leave():
        subprocess.Popen(["/bin/sleep", "8"])
        return "done"

    process = job.call(leave).start()
    began = time.monotonic()
    assert process.wait(timeout=6) == 0
    assert time.monotonic() - began < 4
    process.stdout.close()
    assert job.result()["result"] == "done"


class Unreliable(FileStorage):
    def __init__(self, failures):
        self.failures = failures

    def write(self, uri, data, *, if_absent=False):
        if self.failures > 0:
            self.failures -= 1
            raise OSError("the store is away")
        super().write(uri, data, if_absent=if_absent)


def shipper(folder, storage):
    return LogShipper(storage, ChunkNames(TrialLayout(path_to_uri(folder)), "job-1", 3))


def test_a_store_that_fails_for_a_while_loses_nothing(tmp_path, capfd):
    logs = shipper(tmp_path, Unreliable(failures=2))
    logs.start()
    logs.feed(b"one\n")
    logs.flush()
    logs.feed(b"two\n")
    logs.close(timeout=5)
    kept = sorted((tmp_path / ".kinetic/jobs/job-1/logs").iterdir())
    assert b"".join(chunk.read_bytes() for chunk in kept) == b"one\ntwo\n"
    assert kept[0].name == "0003-00000001.log"
    assert capfd.readouterr().err.count("the store is away") == 1


def test_a_store_that_stays_away_delays_the_end_by_no_more_than_told(tmp_path):
    logs = shipper(tmp_path, Unreliable(failures=10**6))
    logs.start()
    logs.feed(b"one\n")
    began = time.monotonic()
    logs.close(timeout=0.5)
    assert time.monotonic() - began < 1.5


def test_what_had_to_be_dropped_is_said():
    backlog = Backlog(limit=20)
    backlog.add(b"aaaaaaaaa\nbbbbbbbbb\n")
    backlog.add(b"cccc\n")
    chunk = backlog.take(partial=True)
    assert chunk.startswith(b"[kinetic] 10 bytes of output are missing here")
    assert chunk.endswith(b"bbbbbbbbb\ncccc\n")


def test_a_line_in_the_making_waits_for_its_end():
    backlog = Backlog()
    backlog.add(b"epoch 1\nepo")
    assert backlog.take(partial=False) == b"epoch 1\n"
    assert backlog.take(partial=False) == b""
    backlog.add(b"ch 2\r50 %")
    assert backlog.take(partial=False) == b"epoch 2\r"
    assert backlog.take(partial=True) == b"50 %"


def test_a_failing_log_store_does_not_break_the_job(job):
    blocked = job.output / ".kinetic"
    blocked.mkdir(parents=True)
    (blocked / "jobs").write_text("a file where a folder should be")
    job.environ["KINETIC_STOP_GRACE"] = "1"

    def train():
        print("running", flush=True)
        while not Path(os.environ["KINETIC_STOP_FILE"]).exists():
            time.sleep(0.01)
        print("still here")

    process = job.call(train).start()
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)  # it also bounds the time that the end may wait for the store
    ended = job.end(process)
    assert time.monotonic() - began < 3
    assert ended.code == 0
    assert "still here" in ended.output
    assert ended.output.count("the log cannot be stored") == 1
