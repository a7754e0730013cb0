"""The observation of a job, driven by hand: what it asks for, says and shows, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.lifecycle.effects import (
    FAILURES,
    LONGEST_PAUSE,
    ExecutionTimeout,
    Pause,
    Say,
    Show,
)
from airflow_provider_kinetic.lifecycle.observe import (
    SHOWN_AT_MOST,
    Cancel,
    Look,
    Outcome,
    Tail,
    deadline_of,
    watch,
)
from airflow_provider_kinetic.model.diagnosis import advice
from airflow_provider_kinetic.model.errors import ClusterError, StoreError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

HANDLE = JobHandle(*("job-1", "local", "p", "c", "z", "n", "b", "kinetic-job-1", "i", "cpu", "f", "d", "2026"))
PENDING = JobStatus(JobState.PENDING, created_at=0.0, server_time=0.0)
RUNNING = JobStatus(JobState.RUNNING, created_at=0.0, started_at=0.0, server_time=0.0)
DONE = JobStatus(JobState.SUCCEEDED, created_at=0.0, started_at=0.0, finished_at=5.0, server_time=5.0)


class World:
    """Answers effects from a script of statuses (the last one stays) and keeps what was asked for.

    With ``advance`` the server's clock goes with the pauses.
    """

    def __init__(self, *looks: JobStatus | Exception, chunks: int = 0, advance: bool = False) -> None:
        self.looks = list(looks)
        self.chunks = [f"{number:04d}" for number in range(1, chunks + 1)]
        self.clock = 0.0
        self.advance = advance
        self.asked: list[Any] = []
        self.fails: Callable[[Any], Exception | None] = lambda _: None

    def answer(self, effect: Any) -> Any:
        self.asked.append(effect)
        if (failure := self.fails(effect)) is not None:
            raise failure
        if isinstance(effect, Look):
            return self.look()
        if isinstance(effect, Pause):
            self.clock += effect.seconds
        if isinstance(effect, Tail):
            return [(name, f"line {name}\n") for name in self.chunks if name > effect.cursor][:2]
        return None

    def look(self) -> JobStatus:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return replace(found, server_time=self.clock) if self.advance else found

    def observe(self, handle: JobHandle = HANDLE, *, poll: float = 5.0, **given: Any) -> Outcome:
        watching = watch(handle, poll=poll, clock=lambda: self.clock, **given)
        effect = next(watching)
        for _ in range(10_000):
            try:
                answer = self.answer(effect)
            except Exception as error:
                advance = watching.throw, error
            else:
                advance = watching.send, answer
            try:
                effect = advance[0](advance[1])
            except StopIteration as stop:
                return stop.value
        raise AssertionError("it does not end")

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.asked if isinstance(effect, kind)]

    @property
    def said(self) -> list[str]:
        return [effect.line for effect in self.of(Say)]

    @property
    def shown(self) -> list[str]:
        return [effect.cursor for effect in self.of(Show)]


# To the end.


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.NOT_FOUND])
def test_it_ends_with_the_job(state):
    world = World(PENDING, RUNNING, RUNNING, replace(DONE, state=state))

    outcome = world.observe()

    assert (outcome.status.state, outcome.timeout) == (state, "")
    assert [pause.seconds for pause in world.of(Pause)] == [5.0, 5.0, 5.0]
    assert not world.of(Cancel)


def test_a_change_is_said_once():
    queued = replace(PENDING, message="waiting for one of 2 slots")
    world = World(queued, queued, RUNNING, RUNNING, replace(RUNNING, attempts=2, preemptions=1), DONE)

    world.observe()

    assert world.said == [
        "Job job-1: pending (waiting for one of 2 slots)",
        "Job job-1: running",
        "Job job-1: running attempt 2, preempted 1×",
        "Job job-1: succeeded",
    ]


# The log.


@given(chunks=st.integers(0, 12), looks=st.integers(0, 8), start=st.integers(0, 12))
def test_every_chunk_is_shown_once_and_in_order(chunks, looks, start):
    world = World(*[RUNNING] * looks, DONE, chunks=chunks)
    cursor = f"{start:04d}" if start else ""

    outcome = world.observe(cursor=cursor)

    assert world.shown == [name for name in world.chunks if name > cursor]
    assert outcome.cursor == max([cursor, *world.shown])


@given(broken=st.sets(st.integers(0, 7)), chunks=st.integers(0, 12))
def test_a_log_that_cannot_be_read_for_a_while_has_no_gap(broken, chunks):
    world = World(*[RUNNING] * 8, DONE, chunks=chunks)

    def fails(effect):
        if isinstance(effect, Tail) and len(world.of(Tail)) - 1 in broken:
            return StoreError("no answer")
        return None

    world.fails = fails
    outcome = world.observe()

    assert world.shown == world.chunks[: len(world.shown)]
    assert outcome.cursor == max(["", *world.shown])
    assert outcome.status.state is JobState.SUCCEEDED, "completion never depends on the log"


# A cluster that does not answer.


@given(gaps=st.lists(st.integers(0, FAILURES), max_size=4))
def test_transient_failures_are_waited_out(gaps):
    looks: list[JobStatus | Exception] = []
    for gap in gaps:
        looks += [*[ClusterError("no answer")] * gap, RUNNING]
    world = World(*looks, DONE)

    assert world.observe().status is DONE
    assert sum("no answer" in line for line in world.said) == sum(gaps)
    assert all(pause.seconds <= LONGEST_PAUSE for pause in world.of(Pause))


def test_a_cluster_that_never_answers_again_ends_the_observation():
    world = World(RUNNING, *[ClusterError("no answer")] * (FAILURES + 1))

    with pytest.raises(ClusterError):
        world.observe()

    assert sum(pause.seconds for pause in world.of(Pause)) > 600
    assert not world.of(Cancel)


def test_a_mistake_is_not_asked_again():
    with pytest.raises(ZeroDivisionError):
        World(ZeroDivisionError()).observe()


# Deadlines.


def limited(**limits: float) -> JobHandle:
    return replace(HANDLE, **limits)


@pytest.mark.parametrize(
    ("status", "parameter"), [(PENDING, "startup_timeout"), (RUNNING, "run_timeout"), (RUNNING, "execution_timeout")]
)
def test_a_deadline_cancels_the_job(status, parameter):
    world = World(status, advance=True, chunks=3)
    given_timeout = {"timeout": ExecutionTimeout(12.0, at=12.0)} if parameter == "execution_timeout" else {}
    handle = HANDLE if given_timeout else limited(**{parameter: 12.0})

    outcome = world.observe(handle, poll=5.0, **given_timeout)

    assert (outcome.timeout, outcome.limit) == (parameter, 12.0)
    assert [pause.seconds for pause in world.of(Pause)] == [5.0, 5.0, 2.0]
    assert [cancel.why for cancel in world.of(Cancel)] == [f"{parameter} of 12 s"]
    assert f"Job job-1: {parameter} of 12 s passed, cancelling" in world.said


def test_an_observer_whose_time_is_up_leaves_a_job_that_is_not_its_own():
    world = World(RUNNING, advance=True)

    outcome = world.observe(timeout=ExecutionTimeout(12.0, at=12.0), cancels=False)

    assert outcome.timeout == "execution_timeout"
    assert not world.of(Cancel)


def test_the_jobs_own_deadline_holds_whoever_observes():
    world = World(RUNNING, advance=True)

    assert world.observe(limited(run_timeout=12.0), cancels=False).timeout == "run_timeout"
    assert world.of(Cancel)


def test_a_cancel_that_is_not_answered_is_asked_for_again():
    world = World(RUNNING, advance=True)
    world.fails = lambda effect: (
        ClusterError("no answer") if isinstance(effect, Cancel) and len(world.of(Cancel)) < 3 else None
    )

    assert world.observe(limited(run_timeout=12.0)).timeout == "run_timeout"
    assert len(world.of(Cancel)) == 3


def test_an_observer_that_slept_judges_by_the_servers_clock():
    late = replace(RUNNING, started_at=100.0, server_time=105.0)

    assert World(late, DONE).observe(limited(run_timeout=60.0, startup_timeout=60.0)).timeout == ""


seconds = st.floats(0, 1e6, allow_nan=False)
maybe = st.none() | seconds


@given(
    startup=maybe, run=maybe, created=seconds, started=maybe, server=seconds, execution=maybe, observer=seconds
)  # fmt: skip
def test_the_nearest_deadline_counts(startup, run, created, started, server, execution, observer):
    handle = replace(HANDLE, startup_timeout=startup, run_timeout=run)
    status = JobStatus(JobState.RUNNING, created_at=created, started_at=started, server_time=server)
    timeout = None if execution is None else ExecutionTimeout(1.0, at=execution)

    deadline = deadline_of(handle, status, timeout, now=observer)

    limit, since = (startup, created) if started is None else (run, started)
    left = [] if execution is None else [execution - observer]
    left += [] if limit is None else [since + limit - server]
    assert (deadline is None) == (not left)
    if deadline is not None:
        assert deadline.left == pytest.approx(min(left))


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0], ids=["behind", "ahead"])
def test_a_clock_of_the_cluster_that_is_an_hour_off_changes_no_deadline(ahead):
    """The job's own are differences of the server's times; the task's is Airflow's time, as the observer's clock is."""
    running = replace(RUNNING, created_at=1000.0 + ahead, started_at=1000.0 + ahead, server_time=1010.0 + ahead)
    handle = limited(startup_timeout=20.0, run_timeout=20.0)

    assert deadline_of(handle, running, now=1010.0).left == 10.0
    both = deadline_of(handle, running, ExecutionTimeout(15.0, at=1015.0), now=1010.0)
    assert (both.parameter, both.left) == ("execution_timeout", 5.0)
    waiting = replace(running, started_at=None)
    assert deadline_of(handle, waiting, now=1010.0).parameter == "startup_timeout"


def test_a_job_that_is_over_or_of_an_unknown_time_has_no_deadline():
    handle = limited(startup_timeout=1.0, run_timeout=1.0)

    assert deadline_of(handle, DONE, ExecutionTimeout(1.0, at=1.0), now=9.0) is None
    assert deadline_of(handle, replace(RUNNING, server_time=None)) is None


def test_whoever_is_told_of_changes_waits_for_one_or_for_the_deadline():
    world = World(PENDING, RUNNING, RUNNING, DONE, advance=True)

    world.observe(limited(startup_timeout=100.0), poll=5.0)

    assert [pause.longest for pause in world.of(Pause)] == [100.0, None, None]
    assert [pause.seconds for pause in world.of(Pause)] == [5.0, 5.0, 5.0]


def test_a_job_that_has_not_started_is_not_asked_for_output():
    world = World(PENDING, PENDING, DONE, chunks=2)

    world.observe()

    assert [tail.last for tail in world.of(Tail)] == [True, True]
    assert world.shown == ["0001", "0002"]


def test_advice_is_given_once_beside_the_state():
    stuck = replace(PENDING, reason=Reason.SERVICE_ACCOUNT, message="there is no service account 'kinetic'")
    world = World(stuck, stuck, replace(stuck, server_time=9.0), RUNNING, DONE)

    world.observe()

    assert advice(HANDLE, stuck)
    assert world.said == [
        "Job job-1: pending (there is no service account 'kinetic')",
        f"Job job-1: {advice(HANDLE, stuck)}",
        "Job job-1: running",
        "Job job-1: succeeded",
    ]


def test_what_is_known_is_kept_before_the_job_is_cancelled():
    stuck = replace(PENDING, reason=Reason.UNSCHEDULABLE, message="no node pool offers it")
    world = World(stuck, advance=True)

    outcome = world.observe(limited(startup_timeout=12.0))

    assert [cancel.status.message for cancel in world.of(Cancel)] == ["no node pool offers it"]
    assert outcome.status.message == "no node pool offers it"


def test_an_outcome_survives_the_event_of_a_trigger():
    outcome = Outcome(replace(DONE, objects={"result.pkl": {"sha256": "0" * 64}}), "0007", "run_timeout", 12.5)

    assert Outcome.from_dict(outcome.to_dict()) == outcome


class Chatty:
    """A job whose output grows by one chunk with every look."""

    def __init__(self, looks: int, chunk: str) -> None:
        self.looks, self.chunk = looks, chunk

    def perform(self, effect: Any) -> Any:
        if isinstance(effect, Look):
            self.looks -= 1
            return RUNNING if self.looks else DONE
        return [(f"{99 - self.looks:04d}", self.chunk)] if isinstance(effect, Tail) else None


def test_the_task_log_is_capped_and_says_where_the_rest_is():
    job = Chatty(10, "x" * (SHOWN_AT_MOST // 2) + "\n")
    watching = watch(replace(HANDLE, output_dir="file:///out"), poll=1)
    effects: list[Any] = [next(watching)]
    outcome: Any = None
    while outcome is None:
        try:
            effects.append(watching.send(job.perform(effects[-1])))
        except StopIteration as stop:
            outcome = stop.value
    assert sum(len(effect.text) for effect in effects if isinstance(effect, Show)) == 2 * len(job.chunk)
    said = [effect.line for effect in effects if isinstance(effect, Say)]
    assert len([line for line in said if "file:///out/.kinetic/jobs/job-1/logs/" in line]) == 1
    assert outcome.status.state is JobState.SUCCEEDED
