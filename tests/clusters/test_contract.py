"""What every cluster does, written against the port alone: this machine, a loopback API server, a real cluster.

Nothing is assumed of how fast a machine is found or an image pulled, of clocks that agree, or of how fine they are.
In a container the process is number 1, which the kernel spares signals that it does not handle.
"""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.status import JobState, Reason

FOREVER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER
POLITE = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); " + FOREVER
LAST_WORDS = (
    f"import os; path = os.environ.get({protocol.ENV_TERMINATION_LOG!r}, {protocol.DEFAULT_TERMINATION_LOG!r}); "
    "open(path, 'w').write({!r})"
)


@pytest.fixture(
    params=["local", pytest.param("kubernetes", marks=[pytest.mark.cluster, pytest.mark.timeout(600)])],
)
def bench(request):
    return request.getfixturevalue("local_bench" if request.param == "local" else "kubernetes_bench")


def test_a_job_runs_once_and_stays_until_it_is_deleted(bench):
    handle = bench.start("print('hello')")
    status = bench.wait(handle, JobState.SUCCEEDED)
    assert (status.exit_code, status.attempts, status.preemptions) == (0, 1, 0)
    assert status.created_at <= status.started_at <= status.finished_at
    assert abs(status.server_time - status.finished_at) < bench.patience
    assert bench.cluster.status(handle).state is JobState.SUCCEEDED
    assert bench.cluster.delete(handle, wait=bench.patience)
    assert bench.cluster.status(handle).state is JobState.NOT_FOUND


def test_running_is_seen(bench):
    handle = bench.start(FOREVER)
    status = bench.wait(handle, JobState.RUNNING)
    assert status.attempts == 1
    assert status.started_at is not None
    assert status.finished_at is None


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_name_can_be_used_once_at_a_time(bench, state):
    manifest = bench.manifest(POLITE if state == "running" else "pass")
    handle = bench.handle(manifest)
    bench.cluster.create(manifest)
    if state == "running":
        bench.says(handle, "ready")
    else:
        bench.wait(handle, JobState.SUCCEEDED)
    with pytest.raises(JobExists):
        bench.cluster.create(manifest)
    assert bench.cluster.delete(handle, wait=bench.patience)
    bench.cluster.create(manifest)
    assert bench.cluster.status(handle).state is not JobState.NOT_FOUND


@pytest.mark.parametrize(
    ("exit_code", "reason"),
    [
        (1, Reason.USER_CODE),
        (3, Reason.USER_CODE),
        (137, Reason.KILLED),
        (139, Reason.KILLED),
        (143, Reason.KILLED),
        (protocol.EXIT_BUDGET_SPENT, Reason.PREEMPTION_BUDGET),
        (protocol.EXIT_STALLED, Reason.STALLED),
    ],
)
def test_a_process_that_fails_by_itself_is_not_started_again(bench, exit_code, reason):
    status = bench.wait(bench.start(f"raise SystemExit({exit_code})"), JobState.FAILED)
    assert (status.exit_code, status.reason, status.attempts) == (exit_code, reason, 1)
    assert status.message


def test_a_command_that_does_not_exist_is_the_images_fault(bench):
    status = bench.wait(bench.start("", command=("/no/such/program",)), JobState.FAILED)
    assert status.reason is Reason.IMAGE
    assert "/no/such/program" in status.message
    assert status.started_at is None


def test_the_last_words_name_the_objects(bench):
    objects = {"result.pkl": {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}}
    message = protocol.encode_termination(outcome="success", phase="done", attempt=1, objects=objects).decode()
    assert bench.wait(bench.start(LAST_WORDS.format(message)), JobState.SUCCEEDED).objects == objects


@pytest.mark.parametrize("words", ["", "no json", "[]", '{"v": 99}', "x" * 10_000])
def test_foreign_last_words_are_no_objects(bench, words):
    assert bench.wait(bench.start(LAST_WORDS.format(words)), JobState.SUCCEEDED).objects == {}


def test_environment_and_secrets_reach_the_job(bench):
    code = "import os; print(os.environ['GIVEN'], os.environ['TOKEN'], 'done')"
    handle = bench.start(code, env={"GIVEN": "seen $(HOME) $$"}, secrets={"TOKEN": "s3cret $(HOME)"})
    assert "seen $(HOME) $$ s3cret $(HOME) done" in bench.says(handle, "done")


@pytest.mark.faults
def test_deletion_of_a_running_job_gives_it_its_grace(bench):
    code = (
        "import signal, sys, time\n"
        "def save(*_): print('saving', flush=True); time.sleep(3); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
    ) + FOREVER
    handle = bench.start(code, stop_grace=20)
    bench.says(handle, "ready")
    assert not bench.cluster.delete(handle)
    stopping = bench.cluster.status(handle)
    assert (stopping.state, stopping.stopping) == (JobState.RUNNING, True)
    bench.says(handle, "saving")
    assert bench.cluster.delete(handle, wait=bench.patience)
    assert bench.cluster.status(handle).state is JobState.NOT_FOUND


def test_deletion_ends_a_process_that_does_not_listen(bench):
    handle = bench.start(STUBBORN, stop_grace=0.3)
    bench.says(handle, "ready")
    start = time.monotonic()
    assert bench.cluster.delete(handle, wait=bench.patience)
    assert time.monotonic() - start > 0.25


def test_deletion_is_idempotent_and_of_nothing_is_fine(bench):
    never = bench.handle(bench.manifest(FOREVER))
    assert bench.cluster.delete(never)
    handle = bench.start("pass")
    bench.wait(handle, JobState.SUCCEEDED)
    assert bench.cluster.delete(handle)
    assert bench.cluster.delete(handle)


def test_the_deadline_ends_a_job(bench):
    status = bench.wait(bench.start(FOREVER, active_deadline=bench.startup), JobState.FAILED)
    assert status.reason is Reason.DEADLINE
    assert status.finished_at - status.created_at > bench.startup - bench.tick


@pytest.mark.faults
def test_the_deadline_gives_grace_and_then_kills(bench):
    deadline = bench.startup + 1
    handle = bench.start(STUBBORN, active_deadline=deadline, stop_grace=1)
    bench.says(handle, "ready")
    status = bench.wait(handle, JobState.FAILED)
    assert status.reason is Reason.DEADLINE
    assert status.exit_code in (137, None), "Kubernetes removes the pod"
    assert status.finished_at - status.created_at > deadline + 0.9 - bench.tick


def test_success_in_the_grace_of_the_deadline_is_too_late(bench):
    handle = bench.start(POLITE, active_deadline=bench.startup + 1)
    bench.says(handle, "ready")
    assert bench.wait(handle, JobState.FAILED).reason is Reason.DEADLINE


def test_annotations_say_whose_it_is(bench):
    handle = bench.start("pass", annotations={"spec": "abc", "dag": "Prüfung / été"})
    assert {"spec": "abc", "dag": "Prüfung / été"}.items() <= bench.cluster.annotations(handle).items()
    assert bench.cluster.annotations(bench.handle(bench.manifest("pass"))) is None


def test_tail_is_the_end_of_the_output(bench):
    code = (
        "import sys, time; [print(n) for n in range(500)]; sys.stdout.flush(); time.sleep(1); "
        "print('end', file=sys.stderr)"
    )
    handle = bench.start(code)
    bench.wait(handle, JobState.SUCCEEDED)
    assert bench.cluster.tail(handle, lines=2).split() == ["499", "end"]
    assert len(bench.cluster.tail(handle).splitlines()) == 100
    assert bench.cluster.tail(handle, lines=0) == ""
    bench.cluster.delete(handle, wait=bench.patience)
    assert bench.cluster.tail(handle) == ""


def test_list_shows_the_newest_first(bench):
    first = bench.start("pass", labels={"n": "1"})
    bench.wait(first, JobState.SUCCEEDED)
    time.sleep(1.1 * bench.tick)
    second = bench.start(FOREVER, annotations={"n": "2"})
    bench.wait(second, JobState.RUNNING)
    newest, oldest = bench.cluster.list()
    assert (newest.name, newest.job_id, newest.status.state) == (second.k8s_name, second.job_id, JobState.RUNNING)
    assert newest.annotations["n"] == "2"
    assert (oldest.name, oldest.status.state, oldest.labels["n"]) == (first.k8s_name, JobState.SUCCEEDED, "1")
    assert {newest.namespace, oldest.namespace} == {bench.namespace}
    assert newest.images == oldest.images == (bench.image,)


def test_a_status_is_plain_json(bench):
    status = bench.wait(bench.start("pass"), JobState.SUCCEEDED)
    assert type(status).from_dict(json.loads(json.dumps(status.to_dict()))) == status


def test_check_says_in_one_line_what_it_found(bench):
    assert len(bench.cluster.check().splitlines()) == 1
