"""``container_image`` on the local platform: an interpreter that is there, or an error that says so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.model.errors import ConfigurationError


@pytest.fixture
def builder(tmp_path: Path) -> LocalBuilder:
    return LocalBuilder(tmp_path / "environments")


@pytest.mark.parametrize("named", [str, path_to_uri], ids=["path", "uri"])
@pytest.mark.parametrize("place", [Path(sys.executable), Path(sys.prefix)], ids=["interpreter", "environment"])
def test_what_is_there_is_taken_as_it_is(builder: LocalBuilder, named, place: Path) -> None:
    image = builder.named(named(place))
    assert (image.uri, image.cached, image.build_id) == (path_to_uri(place), True, "")


@pytest.mark.parametrize(
    "name", ["us-docker.pkg.dev/x/y:z", "prebuilt", "python", "python:3.11-slim", "./venv", "gs://bucket/venv", ""]
)
def test_a_container_image_is_refused_with_what_to_pass(builder: LocalBuilder, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        builder.named(name)
    assert f"container_image={name!r}" in caught.value.summary
    assert "not container images" in caught.value.summary
    assert "absolute path" in caught.value.advice


def test_an_interpreter_must_be_there_and_executable(builder: LocalBuilder, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nothing", tmp_path / "text", tmp_path / "folder"):
        with pytest.raises(ConfigurationError, match="container_image=") as caught:
            builder.named(str(path))
        assert str(path) in caught.value.summary
        assert "container_image" in caught.value.advice
