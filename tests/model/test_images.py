"""Nouns of images: what enters a tag, and a build that travels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from airflow_provider_kinetic.model.images import Build, BuildState, ImageRequest

REQUEST = ImageRequest("gpu", "3.12", "python:3.12-slim", "numpy\n", "FROM x\n")


def test_the_tag_is_the_hash_of_contract_4_2_without_version_and_runner() -> None:
    text = "base_image=python:3.12-slim\ncategory=gpu\nnumpy\n\n---Dockerfile.template---\nFROM x\n"
    assert REQUEST.tag == "gpu-" + hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    "change",
    [{"category": "cpu"}, {"base_image": "debian:13"}, {"requirements": "numpy>=2\n"}, {"dockerfile": "FROM y\n"}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_the_content_changes_the_tag(change: dict[str, str]) -> None:
    assert replace(REQUEST, **change).tag != REQUEST.tag


def test_a_build_survives_its_way_through_a_trigger() -> None:
    build = Build("cpu-1", "r/base:cpu-1", "b-1", "https://log", "projects/p/locations/global", 2, started_by_us=True)
    assert Build.from_dict(json.loads(json.dumps({**build.to_dict(), "from_a_newer_version": 1}))) == build


def test_a_build_that_waits_or_works_may_still_change() -> None:
    assert [state for state in BuildState if not state.terminal] == [BuildState.QUEUED, BuildState.WORKING]
