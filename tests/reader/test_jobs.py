"""What one job has done in a trial in which others work too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.lifecycle.reader_facts import TrialState
from airflow_provider_kinetic.model.errors import Preempted

Save = Callable[..., str]


@pytest.fixture
def begin(place: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Trial]:
    def begin_of(job_id: str) -> Trial:
        monkeypatch.setenv("JOB_ID", job_id)
        trial: Trial = place.begin()
        return trial

    return begin_of


def log(trial: Trial, step: int) -> None:
    trial.log({"loss": 1 / step}, step=step)
    trial._metrics.flush()
    trial._metrics.summarize()
    trial._heartbeat.beat()


def test_one_that_another_has_replaced(place: Any, begin: Any, saved: Save) -> None:
    for step in (3, 4):
        first = begin("job-A")
        saved(first, step)
        log(first, step + 1)
        first.close(Preempted())
    second = begin("job-B")
    saved(second, 11)
    log(second, 12)

    view = place.reader().look()
    mine, other = view.state("job-A"), view.state("job-B")

    assert (mine.state, mine.attempt, mine.attempts, mine.step) == ("PREEMPTED", 2, 2, 4)
    assert (mine.preemptions, mine.reason, mine.heartbeat_age) == (2, "stopped on request (SIGTERM)", None)
    assert mine.lost_seconds == view.state().lost_seconds > 0
    assert mine.metrics == {}, "the other one's"
    assert (other.state, other.attempt, other.step, other.story()) == ("RUNNING", 3, 12, "")
    assert other.metrics == {"train/loss": pytest.approx(1 / 12)}
    assert view.state("job-C") == TrialState("PENDING")
    assert [view.checkpoints.latest(until).step for until in (1, 2, 3)] == [3, 4, 11]


def test_one_that_vanished_before_the_other_began(place: Any, begin: Any) -> None:
    log(begin("job-A"), 5)
    begin("job-B")

    mine = place.reader().look().state("job-A")

    assert (mine.state, mine.attempt, mine.preemptions) == ("LOST", 1, 0)
    assert mine.metrics == {"train/loss": 0.2}, "none has come since"
    assert place.reader().look().checkpoints.latest(1) is None


def test_steps_of_orbax_belong_to_whom_wrote_them(place: Any, begin: Any) -> None:
    for job_id, step in (("job-A", 5), ("job-B", 9)):
        begin(job_id)
        time.sleep(0.02)
        for name in ("commit_success.txt", "d/0"):
            place.vault.write(f"{place.layout.checkpoints}/{step}/{name}", b"x")
        time.sleep(0.02)

    view = place.reader().look()

    assert [view.state(job_id).step for job_id in ("job-A", "job-B")] == [5, 9]
    assert [view.checkpoints.latest(until).step for until in (1, 2)] == [5, 9]
