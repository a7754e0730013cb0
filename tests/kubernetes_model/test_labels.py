"""Labels are legal whatever the user's names are; the names themselves stand in annotations."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.kubernetes.labels import legal_value
from airflow_provider_kinetic.model.manifests import JobManifest

LEGAL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
NAMES = st.text(max_size=250) | st.text("abcAB019_.-:+ü日", min_size=50, max_size=250)


@given(NAMES)
def test_any_name_gives_a_legal_value(name: str) -> None:
    value = legal_value(name)
    assert LEGAL.fullmatch(value)
    assert len(value) <= 63


@given(NAMES, NAMES)
def test_different_names_give_different_values(one: str, other: str) -> None:
    assert (legal_value(one) == legal_value(other)) == (one == other)


@pytest.mark.parametrize("name", ["", "train", "a", "team.daily_train-1", "x" * 63])
def test_a_legal_name_stays_as_it_is(name: str) -> None:
    assert legal_value(name) == name


def test_a_run_id_stays_readable() -> None:
    assert legal_value("manual__2026-01-01T00:00:00+00:00").startswith("manual__2026-01-01T00-00-00-00-00-")


@pytest.mark.parametrize("name", ["日次学習", "ü" * 250, "dag with spaces", "-x-", "emoji 🚀" * 40])
def test_the_full_text_is_the_annotation(manifest: JobManifest, name: str) -> None:
    job = render(replace(manifest, annotations={"airflow-provider-kinetic/dag": name}))
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert metadata["annotations"] == {"airflow-provider-kinetic/dag": name}
        assert LEGAL.fullmatch(metadata["labels"]["airflow-provider-kinetic/dag"])


def test_identity_and_installation_are_labels(manifest: JobManifest) -> None:
    prefix = "airflow-provider-kinetic"
    facts = {"installation": "a1", "dag": "d", "task": "t", "run": "r", "map-index": "3", "try": "2", "spec": "9f"}
    job = render(replace(manifest, annotations={f"{prefix}/{key}": value for key, value in facts.items()}))
    assert job["metadata"]["labels"] == {
        "app": "kinetic",
        "job-id": "job-0123abcd",
        f"{prefix}/installation": "a1",
        f"{prefix}/dag": "d",
        f"{prefix}/task": "t",
        f"{prefix}/run": "r",
        f"{prefix}/map-index": "3",
        f"{prefix}/try": "2",
    }


def test_labels_of_the_user_are_on_the_job_and_its_pods(manifest: JobManifest) -> None:
    job = render(replace(manifest, labels={**manifest.labels, "cost-center": "4711", "example.com/team": "vision"}))
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert metadata["labels"]["cost-center"] == "4711"
        assert metadata["labels"]["example.com/team"] == "vision"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("app", "mine"),
        ("job-id", "job-other"),
        ("job-name", "x"),
        ("airflow-provider-kinetic/dag", "x"),
        ("team name", "x"),
        ("/team", "x"),
        ("Example.com/team", "x"),
        ("team", "two words"),
        ("team", "x" * 64),
        ("team", "-x"),
        ("x" * 64, "x"),
    ],
)
def test_illegal_or_identifying_labels_are_refused(manifest: JobManifest, key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match="`labels`"):
        render(replace(manifest, labels={**manifest.labels, key: value}))


def test_the_refusal_of_a_value_proposes_one(manifest: JobManifest) -> None:
    with pytest.raises(ConfigurationError, match="Legal is 'two-words-"):
        render(replace(manifest, labels={"team": "two words"}))
