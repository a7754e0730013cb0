"""A trial that goes on with other arguments than it was called with before: warned of, refused, or begun anew."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.model.errors import ConfigurationError


@pytest.fixture
def failed(story):
    """A task whose job has saved something with ``lr=0.1`` and failed."""
    task = story(map_index=1)
    task.submit(args={"lr": 0.1})
    task.save()
    task.fail()
    return task


def test_the_same_arguments_go_on_without_a_word(failed):
    place = failed.submit(args={"lr": 0.1, "seed": 0}, on_mismatch="error")

    assert (place.generation, place.notes) == (1, ()), "a default that is given is the same"


def test_warn_says_what_has_changed_and_goes_on(failed):
    place = failed.submit(args={"lr": 0.2, "seed": 3}, on_mismatch="warn")

    (note,) = place.notes
    assert place.generation == 1
    assert "lr: 0.1 → 0.2, seed: 0 → 3" in note


def test_error_says_what_has_changed_and_what_to_do(failed):
    memory = failed.memory
    with pytest.raises(ConfigurationError, match=r"lr: 0.1 → 0.2") as caught:
        failed.submit(args={"lr": 0.2}, on_mismatch="error")

    assert "index of a mapped task" in caught.value.advice
    assert failed.memory == memory


def test_fresh_begins_anew_and_goes_on_there(failed):
    place = failed.submit(args={"lr": 0.2}, on_mismatch="fresh")
    assert (place.generation, len(place.notes)) == (2, 1)
    failed.save()
    failed.fail()

    assert failed.submit(args={"lr": 0.2}, on_mismatch="fresh").generation == 2


def test_it_is_compared_with_the_newest_attempt(failed):
    failed.submit(args={"lr": 0.2}, on_mismatch="warn")
    failed.fail()

    assert failed.submit(args={"lr": 0.2}, on_mismatch="error").notes == ()
    with pytest.raises(ConfigurationError):
        failed.submit(args={"lr": 0.1}, on_mismatch="error")


def test_arguments_lie_in_one_record_and_are_known_to_all(failed):
    """Each start reads all records, and there may be hundreds."""
    place = failed.submit(args={"lr": 0.1})
    failed.start(args={"lr": 0.1}, args_digest="another")
    failed.submit(args={"lr": 0.1})
    failed.fail()

    records = [each.record for each in trial.attempts(failed.store, place.uri)]
    assert [list(record.get("args", ())) for record in records] == [["lr", "seed"], [], ["lr"], []]
    with pytest.raises(ConfigurationError, match=r"changed: lr: 0.1 → 0.2\."):
        failed.submit(args={"lr": 0.2}, on_mismatch="error")


def test_arguments_that_a_bucket_has_deleted_are_still_other_ones(failed):
    place = failed.submit(args={"lr": 0.1})
    failed.fail()
    failed.store.delete(TrialLayout(place.uri).attempt(1))

    with pytest.raises(ConfigurationError, match="what they were is gone"):
        failed.submit(args={"lr": 0.2}, on_mismatch="error")
    failed.submit(args={"lr": 0.1})
    failed.fail()
    with pytest.raises(ConfigurationError, match=r"lr: 0.1 → 0.2"):
        failed.submit(args={"lr": 0.2}, on_mismatch="error")


def test_nothing_saved_is_nothing_to_compare_with(story):
    """Who corrects a wrong argument that failed at once must not be asked about it."""
    task = story(map_index=1)
    task.submit(args={"lr": 0.1})
    task.fail()

    assert task.submit(args={"lr": 0.2}, on_mismatch="error").notes == ()


def test_files_of_the_users_own_are_something(story):
    task = story()
    place = task.submit(args={"lr": 0.1})
    task.fail()
    (story.root / "retrain/train/run_1/zeta.pt").touch()

    with pytest.raises(ConfigurationError, match=place.uri):
        task.submit(args={"lr": 0.2}, on_mismatch="error")


@pytest.mark.parametrize("policy", ["auto", "never"])
def test_a_new_generation_may_have_other_arguments(failed, policy):
    failed.start()
    failed.complete()

    assert failed.submit(policy, args={"lr": 0.2}, on_mismatch="error").generation == 2


@pytest.mark.parametrize("where", [{"trial": "x"}, {"output_dir": "mine"}])
def test_trials_that_runs_share_are_compared_too(story, where):
    if "output_dir" in where:
        where = {"output_dir": path_to_uri(story.root / "mine")}
    before = story("run_1")
    before.submit(args={"lr": 0.1}, **where)
    before.save()
    before.complete()

    with pytest.raises(ConfigurationError, match=r"lr: 0.1 → 0.2"):
        story("run_2").submit(args={"lr": 0.2}, on_mismatch="error", **where)


def test_records_of_before_arguments_were_kept_are_no_mismatch(failed):
    failed.start()  # as a provider wrote them that was older
    failed.fail()

    assert failed.submit(args={"lr": 0.2}, on_mismatch="error").notes == ()
