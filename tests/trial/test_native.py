"""Steps that Orbax keeps in the trial's folder are seen beside ours, and never touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, ON_THIS_MACHINE

from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.vaults import as_uri, open_vault
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError

COMMITTED = 1_800_000_000 * 10**9


@pytest.fixture
def orbax(place):
    """``orbax(120, loss=1.0)``: a step as Orbax leaves it."""

    def save(step: int, *, marker: bool = True, about: Any = None, **metrics: Any) -> None:
        folder = f"{place.layout.checkpoints}/{step}"
        about = {"commit_timestamp_nsecs": COMMITTED, "custom_metadata": {"epoch": step}} if about is None else about
        place.vault.write(f"{folder}/_CHECKPOINT_METADATA", json.dumps(about).encode())
        place.vault.write(f"{folder}/default/d/0123", bytes(1000))
        if metrics:
            place.vault.write(f"{folder}/metrics/metrics", json.dumps(metrics).encode())
        if marker:
            place.vault.write(f"{folder}/commit_success.txt", b"done")

    return save


def test_they_are_listed_by_step_with_what_they_say_of_themselves(place, orbax, saved):
    trial = place.begin()
    saved(trial, 5, loss=0.5)
    orbax(9, loss=0.25)
    orbax(3)
    listed = trial.checkpoints
    assert [(each.step, each.kind) for each in listed] == [(3, "orbax"), (5, "kinetic"), (9, "orbax")]
    last = trial.latest
    assert last == listed[-1]
    assert (last.metadata, last.created) == ({"epoch": 9, "loss": 0.25}, "2027-01-15T08:00:00Z")
    assert last.uri == f"{place.layout.checkpoints}/9"
    assert last.files == 4
    assert last.bytes > 1000


def test_the_best_one_may_be_of_either(place, orbax, saved):
    trial = place.begin()
    saved(trial, 5, loss=0.5)
    orbax(9, loss=0.25)
    orbax(10, loss=float("nan"))
    orbax(11, accuracy=1)
    assert trial.best("loss").step == 9
    assert trial.best("loss", "max").step == 5
    assert trial.best("accuracy").step == 11


@pytest.mark.parametrize("about", [[], {"custom_metadata": 7, "commit_timestamp_nsecs": "soon"}, "text"])
def test_what_it_says_and_we_do_not_understand_is_passed_over(place, orbax, about):
    trial = place.begin()
    orbax(9, about=about, loss=1)
    assert (trial.latest.step, trial.latest.metadata) == (9, {"loss": 1})


def test_a_step_that_was_saved_again_is_read_again(place, orbax):
    trial = place.begin()
    orbax(9, loss=1.0)
    assert trial.latest.metadata["loss"] == 1.0
    orbax(9, loss=2.0)
    assert trial.latest.metadata["loss"] == 2.0


@IN_CLOUD_STORAGE
def test_without_its_marker_a_step_is_not_there_and_stays(place, orbax, saved):
    orbax(9, marker=False)
    before = place.names("checkpoints/9/")
    trial = place.begin(Keep(latest=1))
    saved(trial, 1)
    saved(trial, 2)
    trial.close()
    trial = place.begin()
    assert [each.step for each in trial.checkpoints] == [2]
    assert trial.latest.step == 2
    assert place.names("checkpoints/9/") == before


@ON_THIS_MACHINE
@pytest.mark.parametrize("name", ["9.orbax-checkpoint-tmp", "9.orbax-checkpoint-tmp-1234", "step_9", "tmp"])
def test_what_is_being_written_is_not_there_and_stays(place, name):
    place.vault.write(f"{place.layout.checkpoints}/{name}/default/d", b"half")
    assert place.begin().checkpoints == []
    assert place.names(f"checkpoints/{name}/") == [f"checkpoints/{name}/default/d"]


def test_our_retention_counts_and_deletes_only_ours(place, orbax, saved):
    trial = place.begin(Keep(latest=1))
    for step in (1, 2, 3):
        orbax(step)
        saved(trial, step)
    trial.close()
    assert [(each.step, each.kind) for each in place.begin().checkpoints] == [
        (1, "orbax"),
        (2, "orbax"),
        (3, "kinetic"),
        (3, "orbax"),
    ]


@pytest.mark.parametrize("do", ["pin", "unpin", "delete"])
def test_what_becomes_of_one_of_orbax_is_decided_by_orbax(place, orbax, do):
    orbax(9)
    found = place.begin().latest
    with pytest.raises(ConfigurationError, match=r"checkpoints/9 belongs to Orbax, whose CheckpointManager"):
        getattr(found, do)()
    assert place.names(".kinetic/pins/") == []


def test_one_of_orbax_is_fetched_as_it_lies(place, orbax, tmp_path):
    orbax(9, loss=0.25)
    place.vault.write(f"{place.layout.checkpoints}/9/default/empty", b"")
    best = place.begin().best("loss")
    names = {name.partition("/9/")[2] for name in place.names("checkpoints/9/")}
    with best.open() as folder:
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == names
        assert json.loads((folder / "metrics/metrics").read_text()) == {"loss": 0.25}
        assert (folder / "default/d/0123").read_bytes() == bytes(1000)
    assert not folder.exists()
    copy = best.download(tmp_path / "copy")
    assert (copy / "default/empty").read_bytes() == b""
    assert {entry.name for entry in open_vault("file:///").tree(as_uri(copy)) if not entry.is_folder} == names


@pytest.mark.parametrize("gone", ["", "/default"])
def test_one_that_orbax_deletes_meanwhile_is_not_called_damaged(place, orbax, gone):
    orbax(9)
    found = place.begin().latest
    place.vault.delete_tree(f"{found.uri}{gone}")
    with pytest.raises(CheckpointCorrupt, match=r"step 9, .* was deleted"), found.open():
        pass


def test_an_attempt_goes_on_from_the_step_that_is_further(place, orbax, saved):
    first = place.begin()
    for step in range(1, 11):
        first.log({"loss": 1 / step}, step=step)
    saved(first, 4)
    orbax(7)
    first.close()
    second = place.begin()
    record = json.loads(place.vault.read(place.layout.attempt(2)))
    assert record["parent"]["checkpoint"] == {"step": 7, "uri": f"{place.layout.checkpoints}/7"}
    for step in range(8, 13):
        second.log({"loss": 2 / step}, step=step)
    second.close()
    summary = json.loads(place.vault.read(place.layout.summary))["series"]["train/loss"]
    assert [step for step, _ in summary["points"]] == list(range(1, 13)), "the rows of the first attempt are there"
    assert summary["points"][6:8] == [[7, 1 / 7], [8, 2 / 8]]
