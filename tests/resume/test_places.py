"""Where trials lie: nobody shares a place with anybody who has not asked for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.lifecycle.directory import base_of
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model import names
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.resume import Resume
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.target import Target

ROOT = "gs://acme/outputs"
CLUSTER = Target("gke", "k", "gs://acme", ROOT, "gke://c", installation="airflow-7")
HERE = Target("local", "k", "file:///k/jobs", "file:///k/outputs", "file:///k/cluster", installation="airflow-7")


def place(target: Target, output_dir: str | None = None, **options: str) -> str:
    identity = TaskIdentity("retrain", "train", "manual__2026-01-01T00:00:00+00:00", 3)
    return base_of(target, Work(print, (), {}, JobSpec("f"), identity, 0, {}, output_dir, Resume(**options)))


def test_of_a_task_instance():
    assert place(HERE).startswith("file:///k/outputs/retrain/train/manual__2026-01-01T00-00-00-00-00-")
    assert place(CLUSTER).startswith(f"{ROOT}/airflow-7/retrain/train/manual__2026")
    assert place(CLUSTER).endswith("/3")


def test_of_a_name_for_all_runs_of_one_installation():
    assert place(CLUSTER, trial="x", experiment="vision") == f"{ROOT}/airflow-7/trials/vision/x"
    assert place(HERE, trial="x", experiment="vision") == "file:///k/outputs/trials/vision/x"
    assert place(HERE, trial="x") == f"file:///k/outputs/trials/{names.slug('retrain/train')}/x"


def test_of_a_directory_for_whoever_names_it():
    assert place(CLUSTER, "gs://acme/models/digits/", trial="x") == "gs://acme/models/digits"


def test_a_long_name_is_an_error():
    with pytest.raises(ConfigurationError, match="output_dir"):
        base_of(Target("gke", "k", "gs://b", "gs://" + "r" * 700, "gke://c"), _work("x" * 300))


def _work(trial: str) -> Work:
    return Work(print, (), {}, JobSpec("f"), TaskIdentity("d", "t", "r"), 0, {}, None, Resume(trial=trial))


short = st.sampled_from(["trials", "a", "b", "a/b", "x~2", "x", "1", "-", "trials/"]) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9
)
own = st.builds(TaskIdentity, dag_id=short, task_id=short, run_id=short, map_index=st.integers(-1, 2)).map(
    lambda identity: (identity, names.output_dir(ROOT, identity))
)
shared = st.tuples(short, short).map(lambda pair: (pair, names.shared_dir(ROOT, *pair)))


@given(own | shared, own | shared, st.integers(1, 3), st.integers(1, 3))
def test_no_two_trials_meet(one, other, generation, another):
    first, second = names.of_generation(one[1], generation), names.of_generation(other[1], another)

    assert (first == second) == ((one[0], generation) == (other[0], another))
    if isinstance(one[0], tuple) != isinstance(other[0], tuple):
        assert not first.startswith(f"{second}/")
        assert not second.startswith(f"{first}/")
