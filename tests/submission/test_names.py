"""Names are legal where they are used, whatever a DAG is called, and never shared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.storage import path_to_uri, uri_to_path
from airflow_provider_kinetic.model import names
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.spec import TaskIdentity

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250)
ROOT = "gs://bucket/outputs"


@given(words)
@example(".")
@example("..")
@example("manual__2026-01-01T00:00:00+00:00")
@example("x" * 250)
@example("a" * 199 + "/")
def test_a_slug_is_one_legal_segment(text):
    slug = names.slug(text)

    assert re.fullmatch(r"[A-Za-z0-9_.=-]+", slug)
    assert slug not in (".", "..")
    assert len(slug) <= names.MAX_SEGMENT


@given(st.sets(words, min_size=2, max_size=8))
@example({"a b", "a-b", "a/b", "a+b"})
@example({"x" * 200 + "1", "x" * 200 + "2"})
@example({".a", "a", "a."})
@example({"A", "a"})
def test_no_two_words_share_a_slug(different):
    assert len({names.slug(word) for word in different}) == len(different)


@given(words)
def test_readable_words_stay_as_they_are(text):
    plain = re.sub(r"[^A-Za-z0-9_=-]", "", text)[: names.MAX_SEGMENT]
    if plain:
        assert names.slug(plain) == plain


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(1, 10**6))
def test_a_job_has_a_name_that_kubernetes_takes(nonce, n):
    job_id = names.job_id(nonce, n)

    assert re.fullmatch(r"job-[0-9a-f]{16}", job_id)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", names.k8s_name(job_id))
    assert len(names.k8s_name(job_id)) <= 63
    assert names.job_id(nonce, n + 1) != job_id


short = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
identities = st.builds(TaskIdentity, dag_id=short, task_id=short, run_id=short, map_index=st.integers(-1, 3))


@given(st.sets(st.tuples(identities, st.integers(1, 3)), min_size=2, max_size=6))
def test_every_trial_has_a_directory_of_its_own(trials):
    found = {names.output_dir(ROOT, identity, generation) for identity, generation in trials}

    assert len(found) == len(trials)


def test_a_map_index_and_a_generation_cannot_be_mistaken_for_a_run():
    mapped = names.output_dir(ROOT, TaskIdentity("d", "t", "r", 1), 2)
    other = names.output_dir(ROOT, TaskIdentity("d", "t", "r/1~2"))

    assert mapped == f"{ROOT}/d/t/r/1~2"
    assert other != mapped


@given(identities)
def test_a_directory_lies_below_the_root_and_is_a_path(identity):
    uri = names.output_dir(path_to_uri("/outputs"), identity)

    assert uri_to_path(uri) == Path("/", *uri.split("/")[3:])
    assert uri_to_path(uri).resolve().is_relative_to("/outputs")


def test_a_name_that_is_too_long_is_an_error_that_says_what_to_shorten():
    with pytest.raises(ConfigurationError, match=r"`output_dir` is .* at most 900") as told:
        names.output_dir("gs://" + "r" * 600, TaskIdentity("d" * 200, "t" * 200, "r" * 200))

    assert "Shorten `output_root`" in told.value.advice
