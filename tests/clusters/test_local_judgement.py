"""What a record means, for records of every kind: no disk, no process."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.clusters.local_record import Record, status_of
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

ORDER = {"created_at": 1.0, "slots": 2, "manifest": {}}
NODE = {"pid": 7, "boot_id": "this"}
BOOT = {"boot_id": "this", "now": 9.0}

endings = st.fixed_dictionaries(
    {
        "phase": st.just("ended"),
        "ending": st.sampled_from(["exit", "deadline", "unstartable"]),
        "code": st.none() | st.integers(-64, 255),
        "error": st.text(),
        "attempts": st.integers(0, 9),
        "preemptions": st.integers(0, 9),
        "termination": st.text(),
        "finished_at": st.just(5.0),
    }
)


@st.composite
def lives(draw: st.DrawFn) -> list[Record | None]:
    """A job's life as a reader could see it, one fact after the other."""
    record = Record(ORDER, alive=True, **BOOT)
    life: list[Record | None] = [record]

    def then(**facts: object) -> None:
        nonlocal record
        record = dataclasses.replace(record, **facts)
        life.append(record)

    then(node=NODE)
    attempts = draw(st.integers(0, 3))
    if draw(st.booleans()):
        then(state={"phase": "queued", "attempts": 0, "preemptions": 0})
    for number in range(1, attempts + 1):
        then(state={"phase": "running", "attempts": number, "preemptions": number - 1, "started_at": 2.0})
        if number < attempts:
            then(state={"phase": "restarting", "attempts": number, "preemptions": number, "started_at": 2.0})
    end = draw(st.sampled_from(["final", "killed", "reboot", "shutdown", "deleted"]))
    if end == "deleted":
        then(deletion_asked=True)
    if end == "final":
        then(state=draw(endings))
    if end == "shutdown":
        then(state={**record.state, "interrupted": True})
    then(alive=False, boot_id="next" if end == "reboot" else "this")
    then(deletion_asked=True)
    return [*life, None, None]


@given(lives())
def test_terminal_never_goes_back(life):
    """After a terminal state comes the same one, or that the object is gone."""
    states = [status_of(record).state for record in life]
    for now, later in itertools.pairwise(states):
        if now.terminal:
            assert later in (now, JobState.NOT_FOUND)


@given(lives())
def test_every_status_survives_json(life):
    for record in life:
        status = status_of(record)
        assert JobStatus.from_dict(json.loads(json.dumps(status.to_dict()))) == status


@given(endings, st.booleans(), st.booleans(), st.sampled_from(["this", "next", ""]))
def test_the_end_is_the_end_whoever_lives_and_asks(state, alive, asked, boot):
    status = status_of(Record(ORDER, NODE, state, alive, asked, boot, 9.0))
    assert status.state in (JobState.SUCCEEDED, JobState.FAILED)
    assert (status.state is JobState.SUCCEEDED) == (state["ending"] == "exit" and state["code"] == 0)
    assert not status.stopping
    assert status.server_time == 9.0


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        ({}, JobState.PENDING, Reason.STARTING),
        ({"alive": True}, JobState.PENDING, Reason.STARTING),
        ({"node": NODE, "alive": True}, JobState.PENDING, Reason.STARTING),
        ({"node": NODE}, JobState.NOT_FOUND, Reason.VANISHED),
        ({"node": NODE, "deletion_asked": True}, JobState.NOT_FOUND, Reason.NONE),
        ({"node": NODE, "alive": True, "deletion_asked": True}, JobState.PENDING, Reason.STARTING),
    ],
)
def test_before_the_first_word_of_the_node(facts, state, reason):
    status = status_of(Record(ORDER, **{**BOOT, **facts}))
    assert (status.state, status.reason) == (state, reason)
    assert status.stopping == bool(facts.get("alive") and facts.get("deletion_asked"))


def test_a_held_lock_is_life_even_where_the_boot_differs():
    """Two machines may share a folder: who holds the lock lives, whatever this machine's boot is."""
    record = Record(ORDER, NODE, {"phase": "running", "attempts": 1}, alive=True, boot_id="another")
    assert status_of(record).state is JobState.RUNNING


def test_the_runner_explains_a_spent_budget():
    words = protocol.encode_termination(
        outcome="budget_spent", phase="run", attempt=4, objects={}, reason="4 preemptions, 3 allowed"
    ).decode()
    state = {"phase": "ended", "ending": "exit", "code": protocol.EXIT_BUDGET_SPENT, "termination": words}
    status = status_of(Record(ORDER, NODE, state, **BOOT))
    assert (status.reason, status.message) == (Reason.PREEMPTION_BUDGET, "4 preemptions, 3 allowed")


@pytest.mark.parametrize("code", [-9, 137])
def test_killed_hints_at_memory(code):
    status = status_of(Record(ORDER, NODE, {"phase": "ended", "ending": "exit", "code": code}, **BOOT))
    assert (status.reason, status.exit_code) == (Reason.KILLED, 137)
    assert "memory" in status.message


def test_an_unknown_signal_has_a_number():
    status = status_of(Record(ORDER, NODE, {"phase": "ended", "ending": "exit", "code": 255}, **BOOT))
    assert "signal 127" in status.message
