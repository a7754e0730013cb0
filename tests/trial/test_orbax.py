"""When Orbax saves, as far as it can be said without Orbax (the rest: ``tests/frameworks``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, ON_THIS_MACHINE

from airflow_provider_kinetic.job.training.orbax import SavePolicy
from airflow_provider_kinetic.model.errors import UnsupportedParameter


@dataclass
class Step:
    step: int


class Every:
    """A policy of Orbax."""

    def __init__(self, number: int) -> None:
        self.number = number

    def should_save(self, step, **_):
        return step.step % self.number == 0


@pytest.fixture
def policy(place):
    trial = place.begin()
    return trial, SavePolicy(Every(10), trial._at, trial._may_save)


def saves(policy, step):
    return policy.should_save(Step(step), previous_steps=(), context=None)


def test_it_saves_when_the_policies_say_so(policy):
    _, policy = policy
    assert [step for step in range(1, 31) if saves(policy, step)] == [10, 20, 30]


def test_once_it_must_stop_it_saves_at_each_step(policy, tmp_path, monkeypatch, place):
    monkeypatch.setenv("KINETIC_STOP_FILE", str(tmp_path / "stop"))
    trial = place.begin()
    policy = SavePolicy(Every(10), trial._at, trial._may_save)
    assert not saves(policy, 3)
    (tmp_path / "stop").touch()
    assert saves(policy, 4)
    with pytest.raises(SystemExit) as leaving:
        trial.exit_if_stopping()
    assert leaving.value.code == 143


def test_nothing_is_saved_once_a_newer_attempt_has_begun(policy, place):
    old, policy = policy
    place.begin()
    assert [step for step in range(1, 31) if saves(policy, step)] == []
    assert old.stopping()
    assert old.stop_reason == "superseded"


def test_rows_are_stored_before_a_step_is(policy, place):
    trial, policy = policy
    trial.log({"loss": 1.0}, step=9)
    assert not saves(policy, 9)
    assert place.names(".kinetic/metrics/") == []
    assert saves(policy, 10)
    (segment,) = (name for name in place.names(".kinetic/metrics/") if name.endswith(".jsonl"))
    assert json.loads(place.vault.read(f"{place.uri}/{segment}"))["s"] == 9


def test_its_step_is_the_trials(policy):
    trial, policy = policy
    saves(policy, 7)
    assert trial._heartbeat.step == 7


@ON_THIS_MACHINE
def test_its_folder_is_a_path_on_this_machine(place, tmp_path):
    assert Path(place.begin().orbax_dir) == tmp_path / "out put" / "checkpoints"


@IN_CLOUD_STORAGE
def test_its_folder_elsewhere_is_the_uri(place):
    assert place.begin().orbax_dir == "gs://tests/out put/checkpoints"


@ON_THIS_MACHINE
def test_without_orbax_it_says_what_is_missing(place):
    with pytest.raises(UnsupportedParameter, match=r"needs Orbax(.|\n)*orbax-checkpoint"):
        place.begin().orbax_options(every=100)


@ON_THIS_MACHINE
@pytest.mark.parametrize(("name", "instead"), [("save_interval_steps", "every="), ("max_to_keep", "keep=")])
def test_an_option_that_orbax_would_pass_over_is_refused(place, name, instead):
    with pytest.raises(UnsupportedParameter, match=f"{name}=(.|\n)*{instead}"):
        place.begin().orbax_options(**{name: 3})


@ON_THIS_MACHINE
@pytest.mark.parametrize("wrong", [{"keep": 0}, {"every": 0}, {"every": -1}, {"best": ("loss", 1, "least")}])
def test_numbers_that_mean_nothing_are_refused(place, wrong):
    with pytest.raises(ValueError, match="at least 1"):
        place.begin().orbax_options(**wrong)


class Named:
    """A format of Orbax."""

    def __init__(self, text):
        self.build_name = text.format


@ON_THIS_MACHINE
@pytest.mark.parametrize("options", [{"step_prefix": "ckpt"}, {"step_name_format": Named("s{}")}])
def test_names_that_the_trial_would_not_find_are_refused(place, options):
    with pytest.raises(UnsupportedParameter, match=f"{next(iter(options))}=(.|\n)*step_format_fixed_length"):
        place.begin().orbax_options(**options)


@ON_THIS_MACHINE
def test_names_that_are_numbers_are_not(place):
    with pytest.raises(UnsupportedParameter, match="needs Orbax"):
        place.begin().orbax_options(step_prefix="ckpt", step_name_format=Named("{:08d}"), step_format_fixed_length=8)
