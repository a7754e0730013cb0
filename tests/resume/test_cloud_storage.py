"""The same decisions where directories are prefixes, listings come in pages, and Orbax marks what is whole."""

from __future__ import annotations

import pytest
from gcs_places import BUCKET, gcs, gcs_store
from stories import Story

from airflow_provider_kinetic.model.errors import ConfigurationError

__all__ = ["gcs", "gcs_store"]


@pytest.fixture
def story(gcs_store, tmp_path) -> Story:
    return Story(tmp_path, gcs_store, f"gs://{BUCKET}/outputs")


def test_a_training_over_generations(story):
    task = story()
    assert task.submit(args={"lr": 0.1}).generation == 1
    with pytest.raises(ConfigurationError, match="there is no checkpoint"):
        task.submit("must")
    task.fail()
    assert task.submit(args={"lr": 0.2}, on_mismatch="error").notes == (), "nothing was saved"
    task.save()
    task.preempt()
    assert task.submit("must", args={"lr": 0.2}).generation == 1
    with pytest.raises(ConfigurationError, match=r"lr: 0.2 → 0.3"):
        task.submit(args={"lr": 0.3}, on_mismatch="error")
    task.complete()
    assert task.submit().uri == f"gs://{BUCKET}/outputs/retrain/train/run_1~2"


def test_the_newest_of_many_generations_is_found_without_memory(story):
    for run_id in ("run_1", "run_10"):
        task = story(run_id)
        for _ in range(11):
            task.submit("never")
    task.complete()

    assert story("run_10").submit().generation == 12
    assert story("run_1").submit().generation == 11
    assert story("run_1~2").submit().generation == 1


def test_a_look_costs_the_same_however_much_lies_there(gcs, story):
    task = story()
    for step in range(6):
        place = task.submit()
        task.save(step)
        for number in range(20):
            story.store.write(f"{place.uri}/checkpoints/{step}/{number}", b"")
    before = gcs.asked

    assert story().submit(begins=False).last.number == 6

    spent = gcs.asked - before
    assert spent.total() <= 4, spent
