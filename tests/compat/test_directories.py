"""External ids name the directory of a script; in a job the task does."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

FOLDER = "kinetic-output"


def begun(core_v2, **options):
    """The directory below the current one, and the attempt."""
    core_v2.init(config=core_v2.Config(**options))
    trial = core_v2._context._trial
    core_v2.close()
    return unquote(trial.dir.removeprefix(Path.cwd().as_uri() + "/")), trial.attempt


def test_the_same_ids_are_the_same_trial(core_v2):
    ids = {"external_experiment_id": "search", "external_trial_id": "lr=0.1"}
    assert begun(core_v2, **ids) == (f"{FOLDER}/search/lr=0.1", 1)
    assert begun(core_v2, **ids, name="other") == (f"{FOLDER}/search/lr=0.1", 2)
    assert begun(core_v2, **ids, checkpoint_storage=Path("else where")) == ("else where/search/lr=0.1", 1)


@pytest.mark.parametrize("options", [{"external_experiment_id": "a"}, {"name": "a"}])
def test_without_an_id_of_the_trial_each_start_is_a_new_one(core_v2, options):
    (one, first), (two, second) = begun(core_v2, **options), begun(core_v2, **options)
    assert one != two
    assert first == second == 1
    assert one.startswith(f"{FOLDER}/a/")
    assert two.startswith(f"{FOLDER}/a/")


@pytest.mark.parametrize(
    "ids",
    [
        {"external_trial_id": "alone"},
        {"external_experiment_id": 7},
        {"external_experiment_id": "a", "external_trial_id": 7},
    ],
)
def test_ids_that_determined_does_not_take(core_v2, ids):
    with pytest.raises(NotImplementedError, match="external_"):
        core_v2.init(config=core_v2.Config(**ids))


@pytest.mark.parametrize("text", ["..", "a/b", "/etc", "a b", "é", "x" * 300])
def test_ids_stay_below_the_folder_and_apart(core_v2, text):
    other = text.replace("/", "-").replace(" ", "-") + "-"
    first, second = (begun(core_v2, external_experiment_id=each, external_trial_id=each) for each in (text, other))
    assert first != second
    folder, experiment, trial = first[0].split("/")
    assert folder == FOLDER
    assert experiment == trial
    assert experiment not in ("", ".", "..")


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ({"type": "directory", "container_path": "d"}, "d"),
        ({"type": "shared_fs", "host_path": "h", "storage_path": "s"}, "h/s"),
        ("p/", "p"),
    ],
)
def test_storages(core_v2, storage, expected):
    ids = {"external_experiment_id": "e", "external_trial_id": "t"}
    assert begun(core_v2, checkpoint_storage=storage, **ids) == (f"{expected}/e/t", 1)


@pytest.mark.parametrize("storage", ["s3://bucket/folder", {"type": "s3", "bucket": "b"}, {"type": "gcs"}])
def test_storages_that_are_not_kept(core_v2, storage):
    with pytest.raises(ValueError, match="checkpoint_storage"):
        core_v2.init(config=core_v2.Config(checkpoint_storage=storage))


def test_determined_s_words_for_retention(core_v2):
    storage = {"type": "directory", "container_path": "d", "save_trial_latest": 1, "save_trial_best": 1}
    searcher = {"name": "single", "metric": "accuracy", "smaller_is_better": False}
    core_v2.init(config=core_v2.Config(name="n", checkpoint_storage=storage, searcher=searcher))
    for step, accuracy in enumerate((0.1, 0.9, 0.5, 0.4)):
        with core_v2.checkpoint.store_path({"steps_completed": step, "accuracy": accuracy}):
            pass
    trial = core_v2._context._trial
    core_v2.close()
    assert [each.step for each in trial.checkpoints] == [1, 3]
    with pytest.raises(ValueError, match="save_trial_best"):
        core_v2.init(config=core_v2.Config(name="n", checkpoint_storage=storage))


def test_a_job_s_task_decides(core_v2, monkeypatch, tmp_path):
    monkeypatch.setenv("KINETIC_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("KINETIC_TRIAL", json.dumps({"experiment": "dag/train", "trial": "run_1"}))
    with pytest.warns(UserWarning, match="trial is 'run_1', not 'mine': its task decides.*trial='mine'"):
        place, _ = begun(core_v2, external_experiment_id="dag/train", external_trial_id="mine")
    assert place == "out"
    record = json.loads((tmp_path / "out/.kinetic/core_v2.json").read_text())
    assert record["config"]["external_trial_id"] == "mine"
    with pytest.warns(UserWarning, match="begun with external_trial_id='mine'; now it is 'run_1'"):
        begun(core_v2, external_experiment_id="dag/train", external_trial_id="run_1")


def test_a_job_needs_no_config(core_v2, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="config"):
        core_v2.init()
    monkeypatch.setenv("KINETIC_OUTPUT_DIR", str(tmp_path / "out"))
    with pytest.warns(UserWarning, match="checkpoint_storage"):
        core_v2.init(checkpoint_storage="elsewhere")
    core_v2.close()
    assert (tmp_path / "out/.kinetic/attempts/0001.end.json").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_the_deprecated_form(core_v2):
    with pytest.warns(FutureWarning) as said:
        core_v2.init(
            defaults=core_v2.DefaultConfig(name="n", hparams={"lr": 0.1}),
            unmanaged=core_v2.UnmanagedConfig(external_experiment_id="e", external_trial_id="t"),
        )
    assert len(said) == 3
    assert core_v2.info.trial.hparams == {"lr": 0.1}
    assert core_v2._context._trial.dir.endswith(f"{FOLDER}/e/t")


def test_what_is_written_down_holds_no_secret(core_v2, tmp_path, monkeypatch):
    monkeypatch.setenv("KINETIC_MASKED", "DATABASE")
    monkeypatch.setenv("DATABASE", "postgres://me:pw@host")
    hparams = {"lr": 0.1, "api_key": "hunter2", "nested": {"hub_token": "hunter2", "tokens": 5}, "odd": object()}
    ids = {"external_experiment_id": "e", "external_trial_id": "t"}
    core_v2.init(config=core_v2.Config(**ids, hparams=hparams))
    core_v2.train.set_metadata({"rows": "of postgres://me:pw@host"})
    assert core_v2.info.trial.hparams == hparams
    text = (tmp_path / FOLDER / "e/t/.kinetic/core_v2.json").read_text()
    assert "hunter2" not in text
    written = json.loads(text)["config"]["hparams"]
    assert written == {"lr": 0.1, "api_key": "***", "nested": {"hub_token": "***", "tokens": 5}, "odd": "object"}
    assert json.loads(text)["metadata"] == {"rows": "of ***"}


def test_processes_must_know_where_they_meet(core_v2):
    with pytest.raises(ValueError, match="2 processes find each other by"):
        core_v2.init(config=core_v2.Config(name="n"), distributed=core_v2.DistributedContext(rank=0, size=2))
