"""Processes of one job find each other, and nobody else, in a store that is full of former lives."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.hosts import Host
from airflow_provider_kinetic.job.training.hosts_meeting import Meeting
from airflow_provider_kinetic.job.vaults import FileVault


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "5")


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def meeting(tmp_path):
    def make(process, processes=3, job_id="job-1", vault=None, **options):
        layout, host = TrialLayout(path_to_uri(tmp_path)), Host(process, processes)
        return Meeting(vault or FileVault(), layout, host, job_id, **options)

    return make


def life(pool, meeting, attempt, order=(0, 1, 2)):
    """All processes at once; the groups, by process."""
    started = {}
    for process in order:
        started[process] = (
            pool.submit(meeting(process).lead, attempt) if not process else pool.submit(meeting(process).join)
        )
        time.sleep(0.02)
    return [started[process].result(20) for process in sorted(started)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_know_each_other(pool, meeting, order):
    groups = life(pool, meeting, 4, order)
    assert [group.host.process for group in groups] == [0, 1, 2]
    assert {(group.attempt, group.folder, str(sorted(group.seats.items()))) for group in groups} == {
        (4, groups[0].folder, str(sorted(groups[0].seats.items())))
    }
    assert len({group.nonce(process) for process, group in enumerate(groups)}) == 3
    assert groups[1].here == [0, 1, 2]


@pytest.mark.parametrize("attempt", [1, 2])
def test_whoever_comes_before_its_leader_waits_for_it(pool, meeting, attempt):
    """After a former life of the same job, of the same attempt too, in which everybody was there."""
    former = life(pool, meeting, 1)
    groups = life(pool, meeting, attempt, (2, 1, 0))
    assert {group.attempt for group in groups} == {attempt}
    assert {group.folder for group in groups}.isdisjoint(group.folder for group in former)


def test_a_free_seat_of_a_life_that_ended_early_is_left_for_the_next(pool, meeting, monkeypatch):
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "0.1")
    with pytest.raises(TimeoutError, match=r"processes 1, 2 of 3 did not come to attempt 1 within 0\.1 seconds"):
        meeting(0).lead(1)
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "5")
    groups = life(pool, meeting, 2, (1, 2, 0))
    assert {group.attempt for group in groups} == {2}


@pytest.mark.parametrize(("processes", "job_id"), [(3, "job-2"), (4, "job-1")])
def test_others_are_not_joined(pool, meeting, monkeypatch, processes, job_id):
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "0.5")
    stranger = pool.submit(meeting(1, processes, job_id).join)
    with pytest.raises(TimeoutError, match=r"process 2 of 3 did not come|processes 1, 2 of 3"):
        meeting(0).lead(1)
    with pytest.raises(TimeoutError, match=f"Process 1 of {processes} found no process 0 of its job"):
        stranger.result(20)


def test_lost_answers_do_not_cost_a_seat(pool, meeting):
    """A write that is repeated finds what it has written itself."""

    class Forgetful(FileVault):
        def write(self, uri, data, *, if_absent=False):
            super().write(uri, data, if_absent=if_absent)
            super().write(uri, data, if_absent=if_absent)

    followers = [pool.submit(meeting(process, vault=Forgetful()).join) for process in (1, 2)]
    led = meeting(0, vault=Forgetful()).lead(1)
    assert {each.result(20).folder for each in followers} == {led.folder}


def test_who_is_waited_for_is_said_soon(pool, meeting):
    joining = pool.submit(meeting(1).join)
    late = pool.submit(lambda: time.sleep(0.5) or meeting(2).join())
    with pytest.warns(UserWarning, match="process 2 of 3 did not come to attempt 1 yet"):
        meeting(0, soon=0.1).lead(1)
    assert joining.result(20).folder == late.result(20).folder
