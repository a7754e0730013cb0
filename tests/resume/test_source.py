"""``restore_from=`` is looked at before anything is sent, as far as the store can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.trials import trial
from airflow_provider_kinetic.lifecycle import source
from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreForbidden
from airflow_provider_kinetic.model.resume import source_of
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.local import LocalStore


@pytest.fixture
def look(tmp_path):
    root = path_to_uri(tmp_path)
    return lambda uri, store=None: source.look(store or LocalStore(), Target("local", "k", root, root, root), uri)


@pytest.fixture
def saved(tmp_path):
    with trial(tmp_path / "there") as one:
        with one.save(7) as folder:
            (folder / "state").touch()
        return one.latest


def test_a_checkpoint_that_is_there_is_fine(look, saved):
    assert look(saved.uri) == look("") == source.NONE


@pytest.mark.parametrize("name", ["checkpoints/000000000008-a0001-0001", "checkpoints/8", "model"])
def test_one_that_is_not_there_is_an_error(look, saved, name):
    uri = f"{saved.layout.output_dir}/{name}"

    assert uri in str(look(uri).trouble)


def test_what_others_wrote_is_left_to_the_function(look, tmp_path):
    (tmp_path / "theirs" / "checkpoints" / "8").mkdir(parents=True)
    (tmp_path / "theirs" / "checkpoints" / "8" / "data").touch()
    found = look(path_to_uri(tmp_path / "theirs" / "checkpoints" / "8"))

    assert found.trouble is None
    assert "job.trial().source" in found.notes[0]


def test_the_directory_of_a_trial_is_no_checkpoint(look, saved):
    assert "directory of a trial" in str(look(saved.layout.output_dir).trouble)


def test_a_place_that_only_the_job_may_read_is_left_to_it(look, saved):
    class Closed:
        def stat(self, uri: str) -> Any:
            raise StoreForbidden(f"{uri} is closed")

    found = look(saved.uri, Closed())
    assert (found.trouble, len(found.notes)) == (None, 1)


def test_another_scheme_is_an_error_at_once(look):
    with pytest.raises(ConfigurationError, match="restore_from"):
        look("gs://bucket/there/checkpoints/000000000007-a0001-0001")


@pytest.mark.parametrize(
    "form", [lambda uri: uri, lambda uri: f"{uri}/", lambda uri: {"uri": uri}, lambda uri: KineticCheckpoint(uri, 7)]
)
def test_a_checkpoint_is_named_in_many_forms(form):
    assert source_of(form("gs://b/c/checkpoints/7")) == "gs://b/c/checkpoints/7"


@pytest.mark.parametrize("value", [3, [], {}, {"uri": None}, "", "gs://", "ftp://x/y", True])
def test_other_values_are_refused(value):
    with pytest.raises(ConfigurationError, match="restore_from"):
        source_of(value)
