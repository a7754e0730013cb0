"""At most ``max_parallel`` jobs of one root at once; the others wait in line."""

from __future__ import annotations

import os
import signal
import time

import pytest

from airflow_provider_kinetic.clusters.local import LocalCluster
from airflow_provider_kinetic.model.status import JobState, Reason

FOREVER = "import time; print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def narrow(bench, root):
    """A cluster with one slot."""
    bench.cluster = LocalCluster(root, max_parallel=1)
    return bench


def test_the_next_one_waits_and_says_so(narrow):
    first = narrow.start(FOREVER)
    narrow.wait(first, JobState.RUNNING)
    second = narrow.start("pass")
    narrow.until(lambda: narrow.cluster.status(second).reason is Reason.QUEUED, "queued")
    status = narrow.cluster.status(second)
    assert (status.state, status.started_at, status.attempts) == (JobState.PENDING, None, 0)
    assert status.message == "waiting for one of 1 slot"
    assert narrow.cluster.delete(first, wait=5)
    narrow.wait(second, JobState.SUCCEEDED)


def test_first_come_first_served(narrow, tmp_path):
    log = tmp_path / "order"
    first = narrow.start(FOREVER)
    narrow.wait(first, JobState.RUNNING)
    waiting = [narrow.start(f"open({str(log)!r}, 'a').write('{n} ')") for n in range(4)]
    for handle in waiting:
        narrow.until(lambda handle=handle: narrow.cluster.status(handle).reason is Reason.QUEUED, "queued")
    narrow.cluster.delete(first, wait=5)
    for handle in waiting:
        narrow.wait(handle, JobState.SUCCEEDED)
    assert log.read_text() == "0 1 2 3 "


def test_never_more_than_there_are_slots(bench, root):
    bench.cluster = LocalCluster(root, max_parallel=2)
    code = "import time; print(time.time(), flush=True); time.sleep(0.3); print(time.time())"
    handles = [bench.start(code) for _ in range(5)]
    spans = []
    for handle in handles:
        bench.wait(handle, JobState.SUCCEEDED)
        spans.append([float(line) for line in bench.cluster.tail(handle).split()])
    for start, _ in spans:
        assert sum(begin <= start < end for begin, end in spans) <= 2


def test_a_waiting_job_can_be_deleted(narrow):
    first = narrow.start(FOREVER)
    narrow.wait(first, JobState.RUNNING)
    second = narrow.start(FOREVER)
    narrow.until(lambda: narrow.cluster.status(second).reason is Reason.QUEUED, "queued")
    assert narrow.cluster.delete(second, wait=5)
    assert narrow.cluster.status(first).state is JobState.RUNNING


def test_the_deadline_counts_while_waiting(narrow):
    narrow.wait(narrow.start(FOREVER), JobState.RUNNING)
    status = narrow.wait(narrow.start("pass", active_deadline=0.4), JobState.FAILED)
    assert (status.reason, status.attempts) == (Reason.DEADLINE, 0)


@pytest.mark.parametrize("who", ["running", "waiting"])
def test_the_dead_hold_neither_a_slot_nor_a_place(narrow, node, who):
    first = narrow.start(FOREVER)
    narrow.wait(first, JobState.RUNNING)
    second = narrow.start(FOREVER)
    narrow.until(lambda: narrow.cluster.status(second).reason is Reason.QUEUED, "queued")
    third = narrow.start("pass")
    os.kill(node(second), signal.SIGKILL)
    if who == "running":
        os.kill(node(first), signal.SIGKILL)
    else:
        narrow.cluster.delete(first, wait=5)
    narrow.wait(third, JobState.SUCCEEDED)
    status = narrow.cluster.status(second)
    assert (status.state, status.reason) == (JobState.NOT_FOUND, Reason.VANISHED)


def test_waiting_costs_next_to_nothing(narrow, node):
    import psutil

    narrow.wait(narrow.start(FOREVER), JobState.RUNNING)
    second = narrow.start("pass")
    narrow.until(lambda: narrow.cluster.status(second).reason is Reason.QUEUED, "queued")
    process = psutil.Process(node(second))
    before = sum(process.cpu_times()[:2])
    time.sleep(1.5)
    assert sum(process.cpu_times()[:2]) - before < 0.05
