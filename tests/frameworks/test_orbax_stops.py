"""Orbax's checkpoints under real signals: a training that was stopped or killed goes on where it was."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import orbax_training
import pytest
from frameworks import PYTHON, Script
from gcs_server import GcsServer
from orbax_places import Place
from runner_job import Job

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.vaults import FileVault

TRAINING = Path(orbax_training.__file__)


@pytest.fixture
def training(script: Callable[..., Script]) -> Callable[..., Script]:
    """``training(place, every=20)``: the script, with these arguments."""

    def start(place: Place, **how: object) -> Script:
        return script(TRAINING, json.dumps({"dir": place.uri, **how}), **place.env)

    return start


def number(line: str) -> int:
    return int(line.rpartition(" ")[2])


def test_stopped_then_killed_it_goes_on_each_time(place: Place, training: Callable[..., Script]) -> None:
    first = training(place)
    assert number(first.wait_for("begun")) == 0
    first.wait_for("saved 20")
    assert first.end(signal.SIGTERM) == 143, first.output
    last = number(first.wait_for("left at"))
    assert place.steps[-1] == last, "a last step is saved"
    end = place.record("attempts/0001.end.json")
    assert (end["state"], end["checkpoint"]["step"]) == ("PREEMPTED", last)

    second = training(place, every=10)
    assert number(second.wait_for("begun")) == last
    second.wait_for(f"saved {(last // 10 + 2) * 10}")
    assert second.end(signal.SIGKILL) == -signal.SIGKILL
    saved = place.steps[-1]
    assert saved > last

    third = training(place, steps=saved + 3, every=1)
    assert number(third.wait_for("begun")) == saved
    assert third.end() == 0, third.output
    assert place.record("attempts/0003.json")["parent"]["checkpoint"]["step"] == saved
    assert place.rows() == list(range(1, saved + 4)), "no row is missing, and none is there twice"
    assert place.steps == [saved + 2, saved + 3]


@pytest.mark.parametrize("nth", [1, 3])
def test_killed_in_the_middle_of_a_save_on_cloud_storage(
    on_gcs: tuple[Place, GcsServer], training: Callable[..., Script], nth: int
) -> None:
    place, server = on_gcs
    first = training(place, every=20, pause=0.03)
    half = f"out put/checkpoints/{nth * 20}/"
    bucket = server.buckets["tests"]
    while not any(name.startswith(half) for name in bucket.names()):
        assert first.process.poll() is None, first.output
        time.sleep(0.001)
    server.faults.latency = 0.05
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    server.faults.latency = 0.0
    before = [name for name in bucket.names() if name.startswith(half)]
    assert f"{half}commit_success.txt" not in before
    assert place.steps == [each * 20 for each in range(max(1, nth - 2), nth)]

    second = training(place, steps=nth * 20 + 5, every=20)
    assert number(second.wait_for("begun")) == (nth - 1) * 20
    assert set(before) <= set(bucket.names()), "what is half is Orbax's to replace"
    assert second.end() == 0, second.output
    assert place.steps[-1] == nth * 20
    assert place.rows() == list(range(1, nth * 20 + 6))


def two(place: Place, training: Callable[..., Script], jax_first: bool = True) -> list[Script]:
    """They compute together and have saved once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [training(place, address=address, process=each, jax_first=jax_first) for each in (0, 1)]
    for each in both:
        each.wait_for("saved 20")
    return both


@pytest.mark.parametrize("jax_first", [True, False])
def test_two_processes_stop_at_one_step(tmp_path: Path, training: Callable[..., Script], jax_first: bool) -> None:
    """Whoever took SIGTERM first, JAX or the trial."""
    place = Place(path_to_uri(tmp_path / "out"), FileVault())
    both = two(place, training, jax_first)
    both[1].process.send_signal(signal.SIGTERM)
    assert [each.end() for each in both] == [143, 143], "".join(each.output for each in both)
    left = {number(each.wait_for("left at")) for each in both}
    assert left == {place.steps[-1]}
    assert place.record("attempts/0001.end.json")["state"] == "PREEMPTED"
    assert place.vault.list(f"{place.layout.attempts}0002") == [], "one attempt, of both"


def test_two_processes_that_were_replaced_leave_at_one_step(tmp_path: Path, training: Callable[..., Script]) -> None:
    """Only the first one learns of it, from its saves; JAX never does."""
    place = Place(path_to_uri(tmp_path / "out"), FileVault())
    both = two(place, training)
    place.vault.write(place.layout.attempt(2), b'{"v": 1, "attempt": 2}')
    assert [each.end() for each in both] == [143, 143], "".join(each.output for each in both)
    assert len({number(each.wait_for("left at")) for each in both}) == 1


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """Our runner around the same training: a supervisor, and a worker that it forks."""
    cloudpickle.register_pickle_by_value(orbax_training)
    job = Job(tmp_path, environ={"JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)}, python=(str(PYTHON),))
    yield job
    cloudpickle.unregister_pickle_by_value(orbax_training)


@pytest.mark.parametrize("jax", ["alone", "distributed"])
def test_a_job_hears_a_stop_in_a_long_call_saves_and_is_gone_on_with(job: Job, jax: str) -> None:
    function = orbax_training.train if jax == "alone" else orbax_training.distributed
    process = job.call(function, freeze_at=25).start()
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any("frozen" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert ended.code == 143, ended.output
    thawed = float(next(line.split()[1] for line in ended.output.splitlines() if line.startswith("thawed")))
    notice = job.output / ".kinetic" / "preempt" / "a0001-p0.json"
    assert notice.stat().st_mtime < thawed - 0.3, "the stop was known while the call went on"
    end = job.record("attempts/0001.end.json")
    assert end["state"] == "PREEMPTED"
    assert end["checkpoint"]["step"] >= 25, "after the call it saved once more"
    again = job.call(function, steps=end["checkpoint"]["step"] + 2).run()
    assert again.code == 0, again.output
    assert job.result()["result"] == end["checkpoint"]["step"]


def test_a_loop_that_asks_orbax_at_some_steps_leaves_at_one_of_them(job: Job) -> None:
    """JAX says yes at another step, or at none of them."""
    process = job.call(orbax_training.distributed, ask=10).start()
    assert process.stdout is not None
    assert any("saved 40" in line for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert ended.code == 143, ended.output
    left = number(next(line for line in ended.output.splitlines() if line.startswith("left at")))
    assert left % 10 == 0
    assert job.record("attempts/0001.end.json")["checkpoint"]["step"] == left


def test_code_that_knows_nothing_of_us_goes_on_too(job: Job) -> None:
    """It does not listen, so it is ended, and what it saved last counts."""
    job.environ["KINETIC_STOP_GRACE"] = "1"
    process = job.call(orbax_training.train, plain=True).start()
    assert process.stdout is not None
    assert any("saved 40" in line for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGTERM)
    assert job.end(process).code == 143
    step = job.record("attempts/0001.end.json")["checkpoint"]["step"]
    assert step >= 40
    again = job.call(orbax_training.train, plain=True, steps=step + 2).run()
    assert again.code == 0, again.output
    assert job.result()["result"] == step
    assert job.record("attempts/0002.json")["parent"]["checkpoint"]["step"] == step
