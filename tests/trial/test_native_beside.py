"""Steps that Orbax keeps in the output directory itself, as upstream's example does, are as good as those below it."""

from __future__ import annotations

import json

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, ON_THIS_MACHINE

from airflow_provider_kinetic.job.training.attempts import Records
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.series import read_rows


@pytest.fixture
def orbax(place):
    """``orbax(1000)``: a step as Orbax leaves it."""

    def save(step: int, folder: str = "") -> str:
        uri = f"{place.uri}/{folder}{step}"
        place.vault.write(f"{uri}/default/d/0123", bytes(1000))
        place.vault.write(f"{uri}/_CHECKPOINT_METADATA", json.dumps({"custom_metadata": {"loss": 1 / step}}).encode())
        place.vault.write(f"{uri}/commit_success.txt", b"done")
        return uri

    return save


def test_they_are_listed_beside_ours_and_those_of_the_folder_below(place, orbax, saved):
    trial = place.begin()
    saved(trial, 5)
    last = orbax(1000)
    orbax(7, "checkpoints/")
    assert [(each.step, each.kind) for each in trial.checkpoints] == [(5, "kinetic"), (7, "orbax"), (1000, "orbax")]
    assert (trial.latest.uri, trial.latest.metadata, trial.latest.files) == (last, {"loss": 0.001}, 3)
    assert trial.best("loss").step == 1000


def test_a_step_that_is_in_both_places_is_that_of_the_folder_below(place, orbax):
    below = orbax(9, "checkpoints/")
    orbax(9)
    assert [each.uri for each in place.begin().checkpoints] == [below]


def test_an_attempt_goes_on_from_there(place, orbax):
    with place.begin() as trial:
        for step in (1, 2, 3):
            trial.log({"loss": step}, step=step)
    uri = orbax(2)
    place.begin()
    parent = json.loads(place.vault.read(place.layout.attempt(2)))["parent"]
    assert parent["checkpoint"] == {"step": 2, "uri": uri}
    assert parent["saved"] > 0
    assert [row.step for row in read_rows(place.vault, place.layout)] == [1, 2]


def test_a_job_that_gets_on_there_is_started_again_and_one_that_does_not_is_not(place, orbax):
    starts = []
    for number in range(1, 5):
        starts.append(Records(place.uri, "job-1", place.vault).begin({}))
        if number < 4:
            orbax(number * 1000)
    assert [each.checkpoint and each.checkpoint.step for each in starts] == [None, 1000, 2000, 3000]
    starts += [Records(place.uri, "job-1", place.vault).begin({}) for _ in range(3)]
    assert [bool(each.spent(10)) for each in starts] == [False] * 6 + [True]


def test_a_job_that_shows_no_checkpoint_may_keep_its_state_elsewhere(place):
    starts = [Records(place.uri, "job-1", place.vault).begin({}) for _ in range(7)]
    assert [each.spent(5) for each in starts[:-1]] == [""] * 6
    assert "max_preemptions=5" in starts[-1].spent(5)


def test_our_retention_leaves_them_alone(place, orbax, saved):
    for step in (1, 2, 3):
        orbax(step)
    before = [name for name in place.names() if name[0].isdigit()]
    trial = place.begin(Keep(latest=1))
    for step in (1, 2, 3):
        saved(trial, step)
    trial.close()
    assert [(each.step, each.kind) for each in place.begin().checkpoints if each.kind == "kinetic"] == [(3, "kinetic")]
    assert [name for name in place.names() if name[0].isdigit()] == before


@ON_THIS_MACHINE
def test_a_numbered_folder_of_the_user_is_no_step(place):
    """Below ``checkpoints`` only Orbax has numbered folders; beside it others may."""
    for name in ("2024/data.csv", "0/fold/commit_success.txt", "9", "12.orbax-checkpoint-tmp/_CHECKPOINT_METADATA"):
        place.vault.write(f"{place.uri}/{name}", b"")
    assert place.begin().checkpoints == []
    place.vault.write(f"{place.uri}/12/_CHECKPOINT_METADATA", b"{}")
    assert place.begin().latest.step == 12


@IN_CLOUD_STORAGE
def test_looking_there_costs_what_is_there_and_nothing_of_what_else_is(place, orbax, gcs):
    orbax(1000)
    for name in ("data/part", "checkpoints/x", ".kinetic/metrics/a0001-p0/x", "-", "/"):
        place.vault.write(f"{place.uri}/{name}", b"")
    before = dict(gcs.requests)
    found = list(place.vault.tree(place.uri, numbered=True))
    spent = {kind: count - before.get(kind, 0) for kind, count in gcs.requests.items() if count != before.get(kind, 0)}
    assert sum(spent.values()) == 1
    assert sorted(entry.name for entry in found) == [
        "1000/_CHECKPOINT_METADATA",
        "1000/commit_success.txt",
        "1000/default/d/0123",
    ]
