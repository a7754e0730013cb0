"""Whose job it is when a trigger is killed: the task instance's own state and the job that it holds decide."""

from __future__ import annotations

import asyncio

import pytest
from execution_api import ExecutionApi
from project import until
from tasks import triggerer

from airflow_provider_kinetic.model.status import JobState
from airflow_provider_kinetic.triggers.guard import Holding, Ownership, judge, ownership

KEPT = ("deferred", "running", "up_for_retry")
OVER = ("success", "failed", "skipped", "removed", "upstream_failed", "queued", "scheduled", "restarting", None)
JOB = {"job_id": "job-1"}


@pytest.mark.parametrize("state", KEPT)
@pytest.mark.parametrize(
    ("held", "owner"),
    [
        (JOB, Ownership.OURS),
        ({"job_id": "job-2"}, Ownership.LOST),
        ({}, Ownership.LOST),
        (None, Ownership.UNKNOWN),
        ("job-1", Ownership.UNKNOWN),
    ],
)
def test_a_task_that_goes_on_keeps_the_job_that_it_holds(state, held, owner):
    assert judge(state, held, JOB) is owner


@pytest.mark.parametrize("state", OVER)
@pytest.mark.parametrize("held", [JOB, None])
def test_a_task_that_is_over_or_begins_anew_keeps_nothing(state, held):
    assert judge(state, held, JOB) is Ownership.LOST


def test_a_trigger_without_a_task_instance_knows_nothing():
    assert asyncio.run(ownership(None, Holding("job-1", "kinetic_job", JOB))) is Ownership.UNKNOWN


@pytest.mark.parametrize("action", ["failed", "success", "clear"])
def test_a_users_action_cancels_the_job(defer, action):
    deferred = defer()

    def act():
        if deferred.row.state == "deferred":
            deferred.shop.db.clear(deferred.row.key) if action == "clear" else deferred.shop.db.mark(
                deferred.row.key, action
            )

    deferred.watch(act)

    until(lambda: deferred.state is JobState.NOT_FOUND)
    assert deferred.shop.ports.store.stat(deferred.handle.artifact("cancelled.json")) is not None


def test_an_action_leaves_a_job_that_shall_be_left(defer):
    deferred = defer(cancel_on_kill=False)

    def act():
        deferred.shop.db.mark(deferred.row.key, "failed")

    deferred.watch(act)

    assert deferred.left_alone


def kill(deferred, api=None, patience=30.0):
    """``on_kill`` of a trigger that runs in some triggerer; the task instance's state is what it is."""
    with triggerer(api or ExecutionApi(deferred.shop.db), deferred.shop.db, deferred.row.key) as trigger:

        async def within():
            await asyncio.wait([asyncio.create_task(trigger.on_kill())], timeout=patience)

        asyncio.run(within())


def test_a_triggerer_that_lost_its_triggers_to_another_one_kills_nothing(defer):
    deferred = defer()

    kill(deferred)

    assert deferred.left_alone


def test_the_trigger_of_a_cleared_try_ends_the_old_job_while_the_new_try_is_deferred_already(defer):
    deferred = defer()
    new = {**deferred.handle.to_dict(), "job_id": "job-of-the-new-try"}
    deferred.shop.db.push(deferred.row.key, "kinetic_job", new)

    kill(deferred)

    until(lambda: deferred.state is JobState.NOT_FOUND)


def test_while_nobody_answers_nothing_is_killed(defer):
    deferred = defer()

    def away(_name):
        raise ConnectionError("the API server is away")

    kill(deferred, ExecutionApi(deferred.shop.db, before=away), patience=0.5)

    assert deferred.left_alone


def test_a_job_that_is_over_is_not_marked_as_cancelled(defer):
    deferred = defer()
    deferred.shop.open_gate()
    until(lambda: deferred.state is JobState.SUCCEEDED)

    deferred.row.state = "failed"
    kill(deferred)

    assert deferred.state is JobState.SUCCEEDED
    assert deferred.shop.ports.store.stat(deferred.handle.artifact("cancelled.json")) is None


def test_a_second_cancellation_does_not_interrupt_the_first(defer):
    """Airflow cancels ``on_kill`` itself a second later (airflow 0.2)."""
    deferred = defer()
    row = deferred.row
    with triggerer(ExecutionApi(deferred.shop.db), deferred.shop.db, row.key) as trigger:
        deferred.shop.db.rows[row.key].state = "failed"

        async def impatient():
            killing = asyncio.create_task(trigger.on_kill())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            killing.cancel()
            await asyncio.wait([killing])
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others)

        asyncio.run(impatient())

    until(lambda: deferred.state is JobState.NOT_FOUND)
