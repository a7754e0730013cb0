"""The machine is taken away from outside: a real signal, and the job starts again as its next attempt."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.errors import ClusterError, JobNotFound
from airflow_provider_kinetic.model.status import JobState, Reason

READY = "print('ready', flush=True)\n"
FOREVER = READY + "import time; time.sleep(60)"


def twice(mark, first, then="print('resumed')"):
    """Code that does ``first`` on its first attempt and ``then`` on the next."""
    return (
        f"import pathlib, signal, sys, time\nmark = pathlib.Path({str(mark)!r})\n"
        f"if not mark.exists():\n    mark.touch()\n    exec({first!r})\nelse:\n    exec({then!r})\n"
    )


@pytest.mark.parametrize("hard", [False, True])
def test_a_preempted_job_starts_again(bench, tmp_path, hard):
    handle = bench.start(twice(tmp_path / "mark", FOREVER))
    bench.ready(handle)
    first = bench.cluster.status(handle)
    bench.cluster.preempt(handle.k8s_name, hard=hard)
    status = bench.wait(handle, JobState.SUCCEEDED)
    assert (status.attempts, status.preemptions, status.exit_code) == (2, 1, 0)
    assert status.started_at == first.started_at
    assert bench.cluster.tail(handle) == "resumed\n", "tail is of the newest attempt"


def test_between_two_attempts_it_is_pending(bench, tmp_path):
    handle = bench.start(twice(tmp_path / "mark", FOREVER))
    bench.ready(handle)
    bench.cluster.preempt(handle.k8s_name)
    status = bench.wait(handle, JobState.PENDING)
    assert (status.reason, status.preemptions) == (Reason.RESTARTING, 1)
    assert status.started_at is not None


def test_soft_gives_grace_and_hard_gives_none(bench, tmp_path):
    trap = "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)))\n"
    handle = bench.start(twice(tmp_path / "mark", trap + FOREVER, trap + FOREVER))
    output = bench_output(bench, handle)
    bench.ready(handle)
    bench.cluster.preempt(handle.k8s_name, hard=True)
    bench.until(lambda: bench.cluster.status(handle).attempts == 2, "second attempt")
    bench.ready(handle)
    assert "saved" not in output.read_text()
    bench.cluster.preempt(handle.k8s_name)
    bench.until(lambda: bench.cluster.status(handle).preemptions == 2, "second preemption")
    assert "saved" in output.read_text()


def bench_output(bench, handle):
    return bench.cluster.root / handle.namespace / handle.k8s_name / "output.log"


def test_a_process_that_does_not_listen_is_killed_after_its_grace(bench, tmp_path):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
    handle = bench.start(twice(tmp_path / "mark", deaf), stop_grace=0.5)
    bench.ready(handle)
    start = time.monotonic()
    bench.cluster.preempt(handle.k8s_name)
    bench.until(lambda: bench.cluster.status(handle).preemptions == 1, "preemption")
    assert 0.45 < time.monotonic() - start < 3
    bench.wait(handle, JobState.SUCCEEDED)


def test_hard_ends_a_grace_that_has_begun(bench, tmp_path):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
    handle = bench.start(twice(tmp_path / "mark", deaf), stop_grace=60.0)
    bench.ready(handle)
    bench.cluster.preempt(handle.k8s_name)
    time.sleep(0.2)
    bench.cluster.preempt(handle.k8s_name, hard=True)
    assert bench.wait(handle, JobState.SUCCEEDED).preemptions == 1


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (0, JobState.SUCCEEDED, Reason.NONE),
        (protocol.EXIT_BUDGET_SPENT, JobState.FAILED, Reason.PREEMPTION_BUDGET),
    ],
)
def test_the_process_may_have_the_last_word(bench, code, state, reason):
    handle = bench.start(f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))\n" + FOREVER)
    bench.ready(handle)
    bench.cluster.preempt(handle.k8s_name)
    status = bench.wait(handle, state)
    assert (status.reason, status.exit_code, status.attempts) == (reason, code, 1)


def test_every_attempt_has_an_empty_place_of_its_own(bench, tmp_path):
    show = "import os; print(os.listdir(), os.environ['KINETIC_TERMINATION_LOG'][-4:], flush=True)\n"
    litter = show + "open('litter', 'w').close(); open(os.environ['KINETIC_TERMINATION_LOG'], 'w').write('old')\n"
    handle = bench.start(twice(tmp_path / "mark", litter + FOREVER, show))
    assert "[] 0001" in bench.says(handle, "ready")
    bench.cluster.preempt(handle.k8s_name)
    assert bench.wait(handle, JobState.SUCCEEDED).objects == {}
    assert bench.cluster.tail(handle) == "[] 0002\n"
    assert not list(bench_output(bench, handle).parent.glob("scratch*"))


def test_the_deadline_counts_over_all_attempts(bench):
    handle = bench.start(FOREVER, active_deadline=2.0)
    bench.ready(handle)
    bench.cluster.preempt(handle.k8s_name)
    status = bench.wait(handle, JobState.FAILED)
    assert (status.reason, status.preemptions) == (Reason.DEADLINE, 1)
    assert 1.9 < status.finished_at - status.created_at < 4


def test_deletion_between_two_attempts_is_final(bench, tmp_path):
    handle = bench.start(twice(tmp_path / "mark", FOREVER))
    bench.ready(handle)
    bench.cluster.preempt(handle.k8s_name)
    bench.wait(handle, JobState.PENDING)
    assert bench.cluster.delete(handle, wait=5)


def test_only_what_runs_can_be_preempted(bench):
    with pytest.raises(JobNotFound, match="no-such-job"):
        bench.cluster.preempt("no-such-job")
    handle = bench.start("pass")
    bench.wait(handle, JobState.SUCCEEDED)
    with pytest.raises(ClusterError, match="SUCCEEDED"):
        bench.cluster.preempt(handle.k8s_name, namespace=handle.namespace)


def test_the_command_line_preempts(bench, root, tmp_path):
    handle = bench.start(twice(tmp_path / "mark", FOREVER))
    bench.ready(handle)
    module = "airflow_provider_kinetic.clusters.local"
    command = [sys.executable, "-m", module, "preempt", "--root", str(root), "--name", handle.k8s_name]
    subprocess.run(command, check=True)
    assert bench.wait(handle, JobState.SUCCEEDED).preemptions == 1
