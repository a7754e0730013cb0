"""The text of the Dockerfile, and what it depends on; `tests/docker` builds it."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.builders.dockerfile import build_context, dockerfile, image_request
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import BuildOptions, ImageRequest


def request(category: str = "cpu", requirements: str = "", python: str = "3.12", **options: object) -> ImageRequest:
    return image_request(category, requirements, python, BuildOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("category", "item"),
    [("cpu", " jax keras "), ("gpu", " 'jax[cuda12]' keras "), ("tpu", " 'jax[tpu]>=0.4.6' keras ")],
)
def test_each_category_brings_its_jax(category: str, item: str) -> None:
    text = request(category).dockerfile
    assert text.count(item) == 1
    assert ("libtpu_releases" in text) == (category == "tpu")
    assert ("LD_LIBRARY_PATH" in text) == (category == "gpu")


def test_the_base_image_is_pythons_own_of_the_tasks_version_or_the_users() -> None:
    assert request().base_image == "python:3.12-slim"
    named = request(base_image="europe-docker.pkg.dev/acme/ml/base:1@sha256:" + "0" * 64)
    assert f"\nFROM {named.base_image}\n" in named.dockerfile


@pytest.mark.parametrize("name", ["", "two words", "a\nRUN rm -rf /", "UPPER", "x AS y"])
def test_a_base_image_that_is_no_name_is_refused(name: str) -> None:
    if name:
        with pytest.raises(ConfigurationError, match="`base_image`"):
            request(base_image=name)
    else:
        assert request(base_image=name) == request()


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="npu"):
        request("npu")


def test_only_what_changes_the_image_changes_its_tag() -> None:
    same = request(
        region="europe-west4", worker_pool="w", machine_type="m", timeout=1.0, layer_cache=False, tags=("t",)
    )
    assert same.tag == request().tag
    others = [request(non_root=True), request(base_image="debian:13"), request("gpu"), request(requirements="numpy\n")]
    # Two Airflows of different Python versions may name one base image; a pickle of one is not for the other.
    others += [request(base_image="acme:1", python=python) for python in ("3.11", "3.12")]
    assert len({request().tag, *(other.tag for other in others)}) == 1 + len(others)


def test_a_build_is_given_the_dockerfile_and_the_requirements() -> None:
    wanted = request(requirements="numpy>=2\n")
    assert build_context(wanted) == {"Dockerfile": wanted.dockerfile.encode(), "requirements.txt": b"numpy>=2\n"}
    assert "requirements.txt" not in request().dockerfile
    assert [*build_context(request())] == ["Dockerfile"]


def test_where_the_requirements_name_an_index_nothing_comes_from_another() -> None:
    text = request(requirements="--index-url https://packages.acme.example/simple\nnumpy\n").dockerfile
    assert text.count("uv pip install") == 1
    assert text.count("uv pip install --python") == text.count("-r /mnt/requirements.txt")
    assert request(requirements="--extra-index-url https://a.example\nnumpy\n").dockerfile.count("uv pip install") == 2


def test_nothing_of_ours_is_in_the_image_and_everything_is_pinned_that_can_be() -> None:
    text = dockerfile("gpu", "3.12", "python:3.12-slim", "numpy\n", non_root=True)
    assert "airflow" not in text
    assert "runner" not in text
    assert text.startswith("ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.")
    assert text.endswith("USER 1000\nWORKDIR /app\n")
