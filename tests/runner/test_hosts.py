"""A job on several hosts, or with several processes on one, has one trial."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults


def train(last):
    from airflow_provider_kinetic import job

    t = job.trial()
    with t.restore() as found:
        begun = found.step if found else 0
        parts = sorted((path.name, path.read_text()) for path in found.path.glob("shard-*")) if found else []
    for step in range(begun + 1, last + 1):
        t.log({"loss": step}, step=step)
        with t.save(step, loss=step) as folder:
            (folder / f"shard-{t.process}").write_text(f"{step} of {t.processes}")
    if t.process == 0:
        return t.attempt, begun, parts
    return None


def launch(code):
    """As PyTorch's launcher does."""
    path = os.pathsep.join(sys.path)
    environ = {**os.environ, "WORLD_SIZE": "2", "PYTHONPATH": path}
    started = [subprocess.Popen([sys.executable, "-c", code], env={**environ, "RANK": str(rank)}) for rank in (0, 1)]
    return [process.wait(60) for process in started]


HOSTS = {"TPU_WORKER_HOSTNAMES": "a,b", "KINETIC_HOSTS_TIMEOUT": "20"}


def test_each_host_is_a_process_of_the_trial(job, by_value):
    job.call(by_value(train), 3)
    for attempt in (1, 2):
        started = []
        for host in (1, 0):  # the first one is late
            job.environ = {**HOSTS, "TPU_WORKER_ID": str(host)}
            started.append(job.start())
        for process in started:
            ended = job.end(process)
            assert ended.code == 0, ended.output
        begun = 3 * (attempt - 1)
        parts = [("shard-0", f"{begun} of 2"), ("shard-1", f"{begun} of 2")] if begun else []
        assert job.result()["result"] == (attempt, begun, parts)
        (job.artifacts / "result.pkl").unlink()
        job.call(train, 6)
    assert job.attempts() == ["0001.end.json", "0001.json", "0002.end.json", "0002.json"]
    assert job.record("attempts/0002.end.json")["checkpoint"]["step"] == 6


def test_a_host_without_a_first_one_fails_with_advice(job, by_value):
    job.environ = {**HOSTS, "TPU_WORKER_ID": "1", "KINETIC_HOSTS_TIMEOUT": "0.5"}
    assert job.call(by_value(train), 1).run().code == 1
    error = job.result("result-worker-1.pkl")["exception"]
    assert isinstance(error, TimeoutError)
    assert "found no process 0 of its job" in str(error)


def test_processes_of_a_launcher_in_a_job_share_its_attempt(job, by_value):
    code = (
        "from airflow_provider_kinetic import job\n"
        "t = job.trial()\n"
        "with t.save(1) as folder: (folder / f'shard-{t.process}').touch()\n"
        "with t.restore() as found: print(sorted(path.name for path in found.path.iterdir()), flush=True)\n"
        "t.close()\n"
    )
    job.environ = {"KINETIC_HOSTS_TIMEOUT": "20"}
    ended = job.call(by_value(launch), code).run()
    assert job.result()["result"] == [0, 0], ended.output
    assert ended.output.count("['metadata.json', 'shard-0', 'shard-1']") == 2
    assert job.attempts() == ["0001.end.json", "0001.json"]
