"""Which directory a submission gets: every row of the table in ``checkpointing`` 3.2, for every policy."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stories import Story

from airflow_provider_kinetic.job.storage import path_to_uri, uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.names import of_generation

ENDS = ("fail", "preempt", "lost")
"""A job that failed, was preempted more often than allowed, or whose machine is gone without a word."""


def ended(instance, how):
    if how != "lost":
        getattr(instance, how)()


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(("policy", "generation"), [("auto", 1), ("always", 1), ("must", 1), ("never", 2)])
def test_retry_after_what_did_not_complete_and_clear_of_it(story, how, policy, generation):
    task = story()
    first = task.submit()
    task.save()
    ended(task, how)

    again = task.submit(policy)

    assert (again.generation, again.uri) == (generation, first.uri + ("~2" if generation == 2 else ""))


@pytest.mark.parametrize(("policy", "generation"), [("auto", 2), ("always", 1), ("must", 1), ("never", 2)])
def test_clear_of_what_completed(story, policy, generation):
    task = story()
    task.submit()
    task.save()
    task.complete()

    assert task.submit(policy).generation == generation


@pytest.mark.parametrize(("policy", "generation"), [("auto", 1), ("always", 1), ("must", 1), ("never", 2)])
def test_clear_of_what_runs_or_is_deferred(story, policy, generation):
    """Its job was cancelled: it ended as preempted, or without a word."""
    task = story()
    task.submit()
    task.save()

    assert task.submit(policy).generation == generation


@pytest.mark.parametrize("policy", ["auto", "always", "never"])
def test_a_new_run_begins_in_a_directory_of_its_own(story, policy):
    before = story("run_1")
    before.submit()
    before.complete()

    after = story("run_2").submit(policy)

    assert (after.generation, after.last) == (1, None)
    assert after.uri.endswith("/retrain/train/run_2")


@pytest.mark.parametrize("how", ["complete", *ENDS])
@pytest.mark.parametrize(("policy", "generation"), [("auto", 1), ("always", 1), ("must", 1), ("never", 2)])
def test_a_new_run_of_a_named_trial_trains_on(story, how, policy, generation):
    before = story("run_1")
    first = before.submit(trial="x")
    before.save()
    ended(before, how)

    after = story("run_2").submit(policy, trial="x")

    assert first.uri.endswith("/x")
    assert (after.generation, after.uri) == (generation, first.uri + ("~2" if generation == 2 else ""))


def test_a_clear_of_the_run_that_completed_a_named_trial_begins_anew(story):
    first, second = story("run_1"), story("run_2")
    for one in (first, second):
        assert one.submit(trial="x").generation == 1
        one.complete()

    assert second.submit(trial="x").generation == 2
    second.complete()
    assert story("run_3").submit(trial="x").generation == 2, "the newest generation is the trial"


def test_so_does_a_clear_of_an_earlier_run(story):
    first, second = story("run_1"), story("run_2")
    for one in (first, second):
        one.submit(trial="x")
        one.complete()

    assert first.submit(trial="x").generation == 2


def test_who_works_on_a_trial_that_another_task_has_begun_is_told_so(story):
    """Two tasks that name one trial take it from each other."""
    first, second = story("run_1", task_id="one"), story("run_1", task_id="other")
    first.submit(trial="x", experiment="e")
    assert first.submit(trial="x", experiment="e").notes == (), "its own job was cancelled before"

    (note,) = second.submit(trial="x", experiment="e").notes

    assert f"If job {first.memory.job_id} (dag retrain, task one, run run_1) still runs" in note
    second.fail()
    assert first.submit(trial="x", experiment="e").notes == ()


def test_a_retry_of_a_run_that_has_not_trained_on_yet_does_so(story):
    before, after = story("run_1"), story("run_2")
    before.submit(trial="x")
    before.complete()
    after.submit(trial="x", begins=False)  # no machine was found

    assert after.submit(trial="x").generation == 1


def test_a_pod_that_comes_back_stays_where_it_is(story):
    """Nobody is asked: one generation for each submission."""
    task = story()
    place = task.submit("never")
    task.preempt()
    task.start()

    assert (task.memory.output_dir, task.attempt.number) == (place.uri, 2)


def test_a_training_goes_on_in_the_generation_that_it_began_anew_in(story):
    task = story()
    task.submit()
    task.fail()
    assert task.submit("never").generation == 2
    task.fail()

    assert task.submit("auto").generation == 2


def test_what_was_submitted_and_never_began_leaves_its_directory_to_the_next(story):
    task = story()
    task.submit()
    assert task.submit("never", begins=False).generation == 2
    assert task.submit("never", begins=False).generation == 2


# Memory and storage.


@pytest.mark.parametrize("generations", [1, 2, 9, 30])
def test_without_memory_the_newest_generation_is_found_in_the_store(story, generations):
    task = story()
    for _ in range(generations):
        task.submit("never")
    task.fail()

    assert story().submit().generation == generations


def test_without_memory_what_completed_is_not_used_again(story):
    task = story()
    task.submit()
    task.complete()

    assert story().submit().generation == 2


@pytest.mark.parametrize(("generations", "gone"), [(3, 2), (13, 12), (30, 12)])
def test_generations_whose_records_a_bucket_has_deleted_are_no_beginning(story, generations, gone):
    """The jobs bucket deletes objects that are 30 days old; a run of a named trial remembers nothing."""
    before, after = story("run_1"), story("run_2")
    for _ in range(generations):
        place = before.submit("never", trial="x")
    base = place.uri.partition("~")[0]
    for old in range(1, gone + 1):
        shutil.rmtree(uri_to_path(of_generation(base, old)))

    assert after.submit(trial="x").generation == generations
    assert after.submit("never", trial="x").generation == generations + 1


def test_another_name_of_the_trial_begins_with_its_first_generation(story):
    task = story()
    task.submit(trial="x")
    task.submit("never", trial="x")

    assert task.submit(trial="y").generation == 1


# Directories that the user names.


@pytest.mark.parametrize("how", ["complete", *ENDS])
@pytest.mark.parametrize(("policy", "generation"), [("auto", 1), ("always", 1), ("must", 1), ("never", 2)])
def test_a_given_directory_is_used_as_it_is(story, how, policy, generation):
    mine = path_to_uri(story.root / "mine")
    task = story()
    task.submit(output_dir=mine)
    task.save()
    ended(task, how)

    assert task.submit(policy, output_dir=mine).uri == mine + ("~2" if generation == 2 else "")


def test_never_does_not_go_on_with_what_others_left_in_a_given_directory(story):
    (story.root / "mine" / "checkpoints" / "7").mkdir(parents=True)
    (story.root / "mine" / "checkpoints" / "7" / "data").touch()
    mine = path_to_uri(story.root / "mine")

    assert story().submit("never", output_dir=mine).uri == f"{mine}~2"


def test_neighbours_with_similar_names_are_no_generations(story):
    for run_id in ("run_10", "run_1~2", "run_1-2"):
        story(run_id).submit()

    assert story("run_1").submit().generation == 1


# must


def test_must_needs_a_checkpoint(story):
    task = story()
    with pytest.raises(ConfigurationError, match='resume="must"'):
        task.submit("must")
    assert task.memory is None
    assert not list(story.root.iterdir())

    task.submit()
    task.fail()
    with pytest.raises(ConfigurationError, match="there is no checkpoint"):
        task.submit("must")

    task.save()
    assert task.submit("must").generation == 1


def test_must_is_content_with_a_step_of_orbax_in_the_directory_itself(story):
    task = story()
    place = task.submit()
    task.fail()
    story.store.write(f"{place.uri}/2024/data", b"the user's")
    with pytest.raises(ConfigurationError, match="there is no checkpoint"):
        task.submit("must")
    story.store.write(f"{place.uri}/1000/commit_success.txt", b"")
    assert task.submit("must").generation == 1


def test_must_counts_what_is_committed_alone(story):
    task = story()
    place = task.submit()
    records = uri_to_path(place.uri) / ".kinetic"
    name = "000000000007-a0001-0001.json"
    (records / "checkpoints").mkdir()
    (records / "tombstones").mkdir()
    (uri_to_path(place.uri) / "checkpoints" / name[:-5]).mkdir(parents=True)
    with pytest.raises(ConfigurationError):
        task.submit("must")

    (records / "checkpoints" / name).touch()
    assert task.submit("must", begins=False).generation == 1

    (records / "tombstones" / name).touch()
    with pytest.raises(ConfigurationError):
        task.submit("must")


# Whatever happens.

RUNS = ("run_1", "run_2")
events = st.tuples(st.sampled_from(RUNS), st.sampled_from(["complete", *ENDS, "no machine", "Airflow forgets"]))


@given(st.lists(events, max_size=15))
@settings(deadline=None, max_examples=30)
def test_what_completed_is_never_used_again_and_what_did_not_always_is(happened):
    """Under ``auto``, for trials that task instances have of their own."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        tasks = {run: story(run) for run in RUNS}
        completed: set[str] = set()
        unfinished: dict[str, str] = {}
        for run, event in happened:
            task = tasks[run]
            if event == "Airflow forgets":
                task.memory = None
                continue
            uri = task.submit(begins=event != "no machine").uri
            assert uri not in completed
            assert uri == unfinished.get(run, uri)
            if event == "complete":
                unfinished.pop(run, None)
                completed.add(uri)
            elif event != "no machine":
                unfinished[run] = uri
            if event != "no machine":
                ended(task, event)


@given(st.lists(st.tuples(st.sampled_from(["auto", "always", "never"]), st.sampled_from(["complete", *ENDS]))))
@settings(deadline=None, max_examples=15)
def test_never_is_always_a_directory_in_which_nobody_has_been(happened):
    with tempfile.TemporaryDirectory() as folder:
        task, known = Story(Path(folder))(), set()
        for policy, how in happened:
            uri = task.submit(policy).uri
            if policy == "never":
                assert uri not in known
            known.add(uri)
            ended(task, how)
