"""What a try does about the job of the try before: the whole table, and what holds for every row of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.lifecycle.submission import Found, Step, SubmissionRecord, decide
from airflow_provider_kinetic.model.status import JobState, JobStatus

LIVE = {JobState.PENDING, JobState.RUNNING}

founds = st.builds(
    Found,
    status=st.builds(JobStatus, state=st.sampled_from(JobState), stopping=st.booleans()),
    result=st.booleans(),
    started=st.booleans(),
    cancelled=st.booleans(),
)
records = st.builds(
    SubmissionRecord,
    nonce=st.text("0123456789abcdef", min_size=32, max_size=32),
    n=st.integers(1, 1000),
    max_tries=st.integers(0, 10),
    job_id=st.just("job-0"),
    output_dir=st.just("file:///out"),
)


@given(records, founds, st.integers(-5, 5).filter(bool))
def test_a_clear_always_asks_for_another_execution(record, found, more):
    """Fewer tries too: the DAG's ``retries`` were lowered before the clear."""
    assert decide(record, found, max_tries=record.max_tries + more) is Step.REPLACE


@given(records, founds)
def test_a_retry_never_runs_a_second_function_beside_a_first(record, found):
    step = decide(record, found, max_tries=record.max_tries)

    if found.cancelled or found.status.stopping:
        assert step is Step.REPLACE
    elif found.status.state in LIVE:
        assert step is Step.ADOPT
    elif found.status.state is JobState.SUCCEEDED:
        assert step is (Step.COLLECT if found.result else Step.REPLACE)


@given(records, founds)
def test_the_same_id_is_submitted_again_only_if_nothing_of_it_ever_ran(record, found):
    if decide(record, found, max_tries=record.max_tries) is Step.SUBMIT:
        assert found.status.state is JobState.NOT_FOUND
        assert (found.started, found.result, found.cancelled) == (False, False, False)


@given(records, founds)
def test_a_result_of_a_job_that_is_gone_is_never_thrown_away(record, found):
    if found.status.state is JobState.NOT_FOUND and found.result and not (found.cancelled or found.status.stopping):
        assert decide(record, found, max_tries=record.max_tries) is Step.COLLECT


@pytest.mark.parametrize(
    ("state", "result", "started", "step"),
    [
        (JobState.SUCCEEDED, False, True, Step.REPLACE),
        (JobState.FAILED, True, True, Step.REPLACE),
        (JobState.FAILED, False, True, Step.REPLACE),
        (JobState.NOT_FOUND, False, True, Step.REPLACE),
        (JobState.NOT_FOUND, False, False, Step.SUBMIT),
    ],
)
def test_a_job_that_came_to_nothing(state, result, started, step):
    record = SubmissionRecord.first(max_tries=1)

    assert decide(record, Found(JobStatus(state), result=result, started=started), max_tries=1) is step


@given(st.integers(1, 50))
def test_every_submission_has_an_id_of_its_own(count):
    record = SubmissionRecord.first(max_tries=0)
    chain = list(itertools.accumulate(range(count), lambda last, _: last.next(max_tries=0), initial=record))

    assert len({one.job_id for one in chain}) == len(chain)
    assert {one.nonce for one in chain} == {record.nonce}


@given(records)
def test_a_record_comes_back_from_the_state_store(record):
    assert SubmissionRecord.from_dict(record.to_dict()) == record
    assert SubmissionRecord.from_dict({**record.to_dict(), "of a later version": 1}) == record


def test_two_installations_never_meet():
    assert len({SubmissionRecord.first(max_tries=0).job_id for _ in range(1000)}) == 1000
