"""A trial begins with another one's checkpoint, and goes on with its own from then on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.trials import Trial, trial
from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError


def begin(folder: Path) -> Trial:
    return trial(folder)


def save(one: Trial, step: int) -> None:
    with one.save(step) as folder:
        (folder / "state").write_text(str(step))


@pytest.fixture
def source(tmp_path):
    """A checkpoint of step 40."""
    with begin(tmp_path / "source") as one:
        save(one, 20)
        save(one, 40)
        return one.latest


@pytest.fixture
def began_with(monkeypatch, tmp_path):
    """The folder of a trial whose task names this in ``restore_from``."""

    def name(uri: str) -> Path:
        monkeypatch.setenv(protocol.ENV_OUTPUT_DIR, str(tmp_path / "mine"))
        monkeypatch.setenv(protocol.ENV_RESTORE_FROM, uri)
        return tmp_path / "mine"

    return name


def test_a_new_trial_begins_with_it(source, began_with):
    with begin(began_with(source.uri)) as one, one.restore() as found:
        assert (found.step, found.uri) == (40, source.uri)
        assert (found.path / "state").read_text() == "40"
        assert (one.source, one.resumed) == (source.uri, False)


def test_from_its_own_first_checkpoint_on_it_goes_on_with_that(source, began_with):
    folder = began_with(source.uri)
    with begin(folder) as one:
        save(one, 41)

    with begin(folder) as one, one.restore() as found:
        assert found.step == 41
        assert (one.source, one.resumed) == (source.uri, True)


def test_the_records_say_where_it_began(source, began_with):
    folder = began_with(source.uri)
    begin(folder).close()

    for record in ("trial.json", "attempts/0001.json"):
        assert json.loads((folder / ".kinetic" / record).read_text())["source"] == source.uri


def test_steps_of_orbax_are_the_trials_own(source, began_with):
    folder = began_with(source.uri)
    (folder / "checkpoints" / "50").mkdir(parents=True)
    (folder / "checkpoints" / "50" / "data").touch()

    with begin(folder) as one, one.restore() as found:
        assert found is None, "who saves with Orbax continues with Orbax"


def test_another_trial_of_the_same_job_begins_with_nothing(source, began_with, tmp_path):
    began_with(source.uri)

    with begin(tmp_path / "other") as one, one.restore() as found:
        assert (found, one.source, one.args) == (None, None, {})


def test_a_damaged_one_is_an_error(source, began_with):
    Path(source.uri.removeprefix("file://"), "state").write_text("4x")

    with begin(began_with(source.uri)) as one, pytest.raises(CheckpointCorrupt, match="damaged"), one.restore():
        pass


@pytest.mark.parametrize("form", [lambda it: it, lambda it: it.uri, KineticCheckpoint.of], ids=["own", "uri", "xcom"])
def test_restore_takes_one_by_any_name(source, form, tmp_path):
    with begin(tmp_path / "mine") as one, one.restore(form(source)) as found:
        assert (found.step, (found.path / "state").read_text()) == (40, "40")


def test_a_checkpoint_that_is_gone_is_named(tmp_path):
    gone = f"{path_to_uri(tmp_path)}/there/checkpoints/{Name(7, 1, 1)}"

    with begin(tmp_path / "mine") as one, pytest.raises(CheckpointCorrupt, match=gone), one.restore(gone):
        pass


@pytest.mark.parametrize(
    ("folder", "words"), [("checkpoints/1200", "step of Orbax"), ("model", r"no checkpoint of save")]
)
def test_what_others_wrote_is_refused_with_advice(began_with, tmp_path, folder, words):
    foreign = path_to_uri(tmp_path / "theirs" / folder)

    with begin(began_with(foreign)) as one:
        assert one.source == foreign
        with pytest.raises(ConfigurationError, match=words) as caught, one.restore():
            pass
        assert caught.value.advice


def test_a_step_of_orbax_of_the_same_trial_is_refused_too(tmp_path):
    (tmp_path / "mine" / "checkpoints" / "50").mkdir(parents=True)
    (tmp_path / "mine" / "checkpoints" / "50" / "data").touch()

    with begin(tmp_path / "mine") as one, pytest.raises(ConfigurationError, match="Orbax"), one.restore(one.latest):
        pass
