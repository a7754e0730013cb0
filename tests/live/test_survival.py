"""Parts of Airflow die and the job neither notices nor runs twice.

The last tests of the folder: for a while nothing else would make progress.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from live import Live, Task, eventually, processes

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]
Runs = dict[str, list[Task]]

SLOW = 180.0
"""Seconds until Airflow, which must first be sure of a death, acts on it."""

FLUSH = 8
"""Lines that a job may print between two flushes of its log: two seconds' worth, generously."""
LOOK = 3 * FLUSH
"""Lines that a triggerer may show before it notes how far it is: a look brings all flushes since the one before."""


def test_a_worker_that_is_killed_is_replaced_by_one_that_follows_the_same_job(runs: Runs) -> None:
    [task] = runs["worker killed"]
    job = task.job(state="running")
    eventually(lambda: f"beat 3 of {job.job_id}" in task.log(), "the worker follows the job")
    _kill(processes(task.record["id"]))  # the one that supervises the task and the one that executes it
    eventually(lambda: task.record["try_number"] == 2, "Airflow tries again", SLOW)
    _ends_with_its_second_try(task)
    assert task.xcom() == job.job_id
    assert task.executions() == [job]


def test_scheduler_and_triggerer_that_are_killed_are_replaced_and_go_on(runs: Runs, live: Live) -> None:
    [waiting], [deferred] = runs["scheduler killed"], runs["observed"]
    jobs = [waiting.job(state="running"), deferred.job(state="deferred")]
    eventually(lambda: f"beat 3 of {jobs[1].job_id}" in deferred.log(), "the first triggerer shows output")
    workers = [worker for process in processes("airflow scheduler") for worker in process.children(recursive=True)]
    worker = processes(waiting.record["id"])
    try:
        for part in ("scheduler", "triggerer", "serve-logs"):
            _kill(processes(f"airflow {part}"))
        assert all(map(_alive, worker))  # nobody knows of it any more
        with _started(live, "scheduler"), _started(live, "triggerer"):
            shown = len(deferred.log())
            eventually(lambda: len(deferred.log()) > shown + FLUSH, "the second triggerer shows output", SLOW)
            deferred.release()
            eventually(lambda: waiting.record["try_number"] == 2, "the second scheduler tries again", SLOW)
            _ends_with_its_second_try(waiting)
            deferred.wait("success")
    finally:
        _kill(workers)
    assert [waiting.xcom(), deferred.xcom()] == [job.job_id for job in jobs]
    assert [waiting.executions(), deferred.executions()] == [[job] for job in jobs]
    counts = [int(found[1]) for line in deferred.log() if (found := re.match(r"beat (\d+) of", line))]
    assert set(counts) == set(range(len(deferred.beats())))
    assert len(counts) - len(set(counts)) <= LOOK


def _ends_with_its_second_try(task: Task) -> None:
    eventually(lambda: any("beat" in line for line in task.log(2)), "the second try follows the job")
    task.release()
    task.wait("success")


def _kill(found: list[psutil.Process]) -> None:
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    eventually(lambda: not any(map(_alive, found)), "they are dead", timeout=20)


def _alive(process: psutil.Process) -> bool:
    """Not so a zombie, which only waits for its parent to ask how it ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _started(live: Live, part: str) -> Iterator[None]:
    """Another one of a part, as an operator's service manager would start it."""
    home = live.airflow.home
    with (home / f"{part}.log").open("wb") as log:
        process = subprocess.Popen(["airflow", part], env=live.airflow.env, cwd=home, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # Airflow's scheduler may wait for ever for an idle worker of its own
                scheduler = psutil.Process(process.pid)
                _kill([*scheduler.children(recursive=True), scheduler])
                process.wait()
