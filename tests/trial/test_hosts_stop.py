"""Processes that train side by side leave at one step, whoever of them is asked to stop, and however fast they are."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.hosts import Group, Host
from airflow_provider_kinetic.job.training.hosts_stop import Agreement
from airflow_provider_kinetic.job.training.saving import Fence
from airflow_provider_kinetic.job.vaults import FileVault

PROCESSES = 4
STEPS = 4000


class Training:
    """A loop over steps that all processes take together, as with a collective; each has its own doubts."""

    def __init__(self, uri, every, ask=1):
        self.layout = TrialLayout(uri)
        self.heard = [threading.Event() for _ in range(PROCESSES)]
        self.fences = [Fence(FileVault(), self.layout, 1) for _ in range(PROCESSES)]
        self.barrier = threading.Barrier(PROCESSES)
        self.at = 0
        self.ask = ask
        self.agreements = [
            Agreement(
                FileVault(),
                self.layout,
                Group(Host(process, PROCESSES), 1, self.layout.meeting(1, 1)),
                self.heard[process].is_set,
                self.fences[process],
                every=every * (1 + process / 2),
            )
            for process in range(PROCESSES)
        ]

    def loop(self, process, pause):
        """The step at which it leaves. A step takes as long as the slowest needs."""
        chance = random.Random(process)
        for step in range(1, STEPS):
            self.barrier.wait(30)
            self.at = step
            time.sleep(chance.uniform(0, pause))
            if step % self.ask == 0 and self.agreements[process].reached(step):
                return step
        return None

    def run(self, pause, stop):
        with ThreadPoolExecutor(PROCESSES + 1) as pool:
            loops = [pool.submit(self.loop, process, pause) for process in range(PROCESSES)]
            pool.submit(stop)
            left = [loop.result(60) for loop in loops]
        for agreement in self.agreements:
            agreement.close()
        return left

    def wait_for(self, step):
        while self.at < step:
            time.sleep(0.001)


@pytest.mark.parametrize(("who", "pause", "ask"), [([2], 0.002, 1), ([0], 0.002, 5), ([1, 3], 0.03, 1)])
def test_all_leave_at_one_step(tmp_path, who, pause, ask):
    training = Training(path_to_uri(tmp_path), 0.05, ask)

    def stop():
        training.wait_for(6)
        for process in who:
            training.heard[process].set()

    left = training.run(pause, stop)
    assert len(set(left)) == 1
    assert left[0] is not None
    assert left[0] > 6
    assert left[0] % ask == 0
    assert (tmp_path / f".kinetic/preempt/a0001-p{who[0]}.json").exists()


def test_when_a_newer_attempt_has_begun_all_leave_at_one_step(tmp_path):
    """Each learns it at its own time, and only the leader's knowledge counts."""
    training = Training(path_to_uri(tmp_path), 0.05)

    def stop():
        training.wait_for(6)
        FileVault().write(training.layout.attempt(2), b'{"v": 1, "attempt": 2}')
        assert not training.fences[3].holds()
        training.wait_for(training.at + 20)
        assert not training.fences[0].holds()
        assert not training.fences[1].holds()

    left = training.run(0.002, stop)
    assert len(set(left)) == 1
    assert left[0] > 26


def test_a_step_that_somebody_has_passed_is_no_step_to_leave_at(tmp_path):
    """A proposal that came too late for one of them: all go on, and leave at a later one."""
    training = Training(path_to_uri(tmp_path), 0.05)

    def stop():
        training.wait_for(10)
        stop_1 = f"{training.layout.meeting(1, 1)}stop-01.json"
        FileVault().write(stop_1, b'{"v": 1, "step": 5}')
        training.heard[3].set()

    left = training.run(0.002, stop)
    assert len(set(left)) == 1
    assert left[0] > 10
    said = sorted(path.name for path in (tmp_path / ".kinetic/hosts/a0001-0001").glob("stop-*-*"))
    assert "stop-01-no-p0000.json" in said
    assert f"stop-02-yes-p{PROCESSES - 1:04d}.json" in said or any(name.startswith("stop-03") for name in said)


def test_nobody_leaves_before_anybody_must(tmp_path):
    training = Training(path_to_uri(tmp_path), 0.01)
    for step in range(200):
        answers = [agreement.reached(step) for agreement in training.agreements]
        assert answers == [False] * PROCESSES
        time.sleep(0.001)
    for agreement in training.agreements:
        agreement.close()
    assert not (tmp_path / ".kinetic").exists()


def test_a_step_must_be_said(tmp_path):
    with pytest.raises(ValueError, match=r"t\.stopping\(step\)"):
        Training(path_to_uri(tmp_path), 0.01).agreements[0].reached(None)
