"""What every cluster does, written against the port alone: another implementation runs these with its own ``bench``."""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.status import JobState, Reason

FOREVER = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER
POLITE = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); " + FOREVER


def test_a_job_runs_once_and_stays_until_it_is_deleted(bench):
    before = time.time()
    handle = bench.start("print('hello')")
    status = bench.wait(handle, JobState.SUCCEEDED)
    assert (status.exit_code, status.attempts, status.preemptions) == (0, 1, 0)
    assert before <= status.created_at <= status.started_at <= status.finished_at <= status.server_time
    assert bench.cluster.status(handle).state is JobState.SUCCEEDED
    assert bench.cluster.delete(handle, wait=5)
    assert bench.cluster.status(handle).state is JobState.NOT_FOUND


def test_running_is_seen(bench):
    handle = bench.start(FOREVER)
    status = bench.wait(handle, JobState.RUNNING)
    assert status.attempts == 1
    assert status.started_at is not None
    assert status.finished_at is None


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_name_can_be_used_once_at_a_time(bench, state):
    manifest = bench.manifest(FOREVER if state == "running" else "pass")
    handle = bench.handle(manifest)
    bench.cluster.create(manifest)
    bench.wait(handle, JobState.RUNNING if state == "running" else JobState.SUCCEEDED)
    with pytest.raises(JobExists):
        bench.cluster.create(manifest)
    assert bench.cluster.delete(handle, wait=10)
    bench.cluster.create(manifest)
    assert bench.cluster.status(handle).state is not JobState.NOT_FOUND


@pytest.mark.parametrize(
    ("code", "exit_code", "reason", "word"),
    [
        ("raise SystemExit(1)", 1, Reason.USER_CODE, "code 1"),
        ("raise SystemExit(3)", 3, Reason.USER_CODE, "code 3"),
        ("import os; os.kill(os.getpid(), 9)", 137, Reason.KILLED, "memory"),
        ("import os; os.kill(os.getpid(), 11)", 139, Reason.KILLED, "SIGSEGV"),
        ("raise SystemExit(143)", 143, Reason.KILLED, "SIGTERM"),
        (f"raise SystemExit({protocol.EXIT_BUDGET_SPENT})", 117, Reason.PREEMPTION_BUDGET, "Preempted"),
    ],
)
def test_a_process_that_fails_by_itself_is_not_started_again(bench, code, exit_code, reason, word):
    status = bench.wait(bench.start(code), JobState.FAILED)
    assert (status.exit_code, status.reason, status.attempts) == (exit_code, reason, 1)
    assert word in status.message


def test_a_command_that_does_not_exist_is_the_images_fault(bench):
    status = bench.wait(bench.start("", command=("/no/such/program",)), JobState.FAILED)
    assert status.reason is Reason.IMAGE
    assert "/no/such/program" in status.message
    assert status.started_at is None


def test_the_last_words_name_the_objects(bench):
    objects = {"result.pkl": {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}}
    message = protocol.encode_termination(outcome="success", phase="done", attempt=1, objects=objects).decode()
    code = f"import os; open(os.environ[{protocol.ENV_TERMINATION_LOG!r}], 'w').write({message!r})"
    assert bench.wait(bench.start(code), JobState.SUCCEEDED).objects == objects


@pytest.mark.parametrize("words", ["", "no json", "[]", '{"v": 99}', "x" * 10_000])
def test_foreign_last_words_are_no_objects(bench, words):
    code = f"import os; open(os.environ[{protocol.ENV_TERMINATION_LOG!r}], 'w').write({words!r})"
    assert bench.wait(bench.start(code), JobState.SUCCEEDED).objects == {}


def test_environment_and_secrets_reach_the_job(bench):
    code = "import os; print(os.environ['GIVEN'], os.environ['TOKEN'], 'done')"
    handle = bench.start(code, env={"GIVEN": "seen"}, secrets={"TOKEN": "s3cret"})
    assert "seen s3cret done" in bench.says(handle, "done")


def test_deletion_of_a_running_job_gives_it_its_grace(bench, tmp_path):
    saved = tmp_path / "saved"
    code = (
        "import pathlib, signal, sys, time\n"
        f"def save(*_): time.sleep(0.3); pathlib.Path({str(saved)!r}).touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
    ) + FOREVER
    handle = bench.start(code)
    bench.says(handle, "ready")
    assert not bench.cluster.delete(handle)
    stopping = bench.cluster.status(handle)
    assert (stopping.state, stopping.stopping) == (JobState.RUNNING, True)
    assert bench.cluster.delete(handle, wait=10)
    assert saved.exists()
    assert bench.cluster.status(handle).state is JobState.NOT_FOUND


def test_deletion_ends_a_process_that_does_not_listen(bench):
    handle = bench.start(STUBBORN, stop_grace=0.3)
    bench.says(handle, "ready")
    start = time.monotonic()
    assert bench.cluster.delete(handle, wait=10)
    assert 0.25 < time.monotonic() - start < 5


def test_deletion_is_idempotent_and_of_nothing_is_fine(bench):
    never = bench.handle(bench.manifest(FOREVER))
    assert bench.cluster.delete(never)
    handle = bench.start("pass")
    bench.wait(handle, JobState.SUCCEEDED)
    assert bench.cluster.delete(handle)
    assert bench.cluster.delete(handle)


def test_the_deadline_ends_a_job(bench):
    status = bench.wait(bench.start(FOREVER, active_deadline=0.6), JobState.FAILED)
    assert status.reason is Reason.DEADLINE
    assert 0.5 < status.finished_at - status.created_at < 5


def test_the_deadline_gives_grace_and_then_kills(bench):
    handle = bench.start(STUBBORN, active_deadline=1.5, stop_grace=0.4)
    status = bench.wait(handle, JobState.FAILED)
    assert (status.reason, status.exit_code) == (Reason.DEADLINE, 137)
    assert status.finished_at - status.created_at > 1.8


def test_success_in_the_grace_of_the_deadline_is_too_late(bench):
    assert bench.wait(bench.start(POLITE, active_deadline=0.8), JobState.FAILED).reason is Reason.DEADLINE


def test_annotations_say_whose_it_is(bench):
    handle = bench.start("pass", annotations={"spec": "abc"})
    assert bench.cluster.annotations(handle) == {"spec": "abc"}
    assert bench.cluster.annotations(bench.handle(bench.manifest("pass"))) is None


def test_tail_is_the_end_of_the_output(bench):
    handle = bench.start(
        "import sys; [print(n) for n in range(500)]; sys.stdout.flush(); print('end', file=sys.stderr)"
    )
    bench.wait(handle, JobState.SUCCEEDED)
    assert bench.cluster.tail(handle, lines=2).split() == ["499", "end"]
    assert len(bench.cluster.tail(handle).splitlines()) == 100
    assert bench.cluster.tail(handle, lines=0) == ""
    bench.cluster.delete(handle, wait=5)
    assert bench.cluster.tail(handle) == ""


def test_list_shows_the_newest_first(bench):
    first = bench.start("pass", labels={"n": "1"})
    second = bench.start(FOREVER, annotations={"n": "2"}, namespace="other")
    bench.wait(first, JobState.SUCCEEDED)
    bench.wait(second, JobState.RUNNING)
    newest, oldest = bench.cluster.list()
    assert (newest.name, newest.job_id, newest.status.state) == (second.k8s_name, second.job_id, JobState.RUNNING)
    assert dict(newest.annotations) == {"n": "2"}
    assert (oldest.name, oldest.status.state, dict(oldest.labels)) == (first.k8s_name, JobState.SUCCEEDED, {"n": "1"})


def test_a_status_is_plain_json(bench):
    status = bench.wait(bench.start("pass"), JobState.SUCCEEDED)
    assert type(status).from_dict(json.loads(json.dumps(status.to_dict()))) == status


def test_check_says_what_it_found(bench):
    assert "writable" in bench.cluster.check()
