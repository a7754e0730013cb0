"""Platforms on which this version builds no images."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.builders.named import NamedBuilder
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import ImageRequest

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "image",
    [
        "python",
        "python:3.11",
        "library/python",
        "europe-docker.pkg.dev/acme/jobs/image:1",
        f"europe-docker.pkg.dev/acme/jobs/image@{DIGEST}",
        f"europe-docker.pkg.dev/acme/jobs/image:1@{DIGEST}",
        "localhost:5000/image",
        "registry.example:8443/a/b/c/d_e-f.g:V1.2_3",
    ],
)
def test_any_image_that_a_container_runtime_takes(image: str) -> None:
    found = NamedBuilder().named(image)
    assert (found.uri, found.cached) == (image, True)


@pytest.mark.parametrize(
    "image",
    ["", " ", "host/UPPER", "image:", "image:tag with space", "image@sha256:0", "https://host/image", "a//b", "-a"],
)
def test_what_is_no_name_of_an_image(image: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of an image") as caught:
        NamedBuilder("gke").named(image)
    assert "`container_image=`" in caught.value.advice


@pytest.mark.parametrize("mode", ["bundled", "prebuilt"])
def test_words_for_images_that_would_have_to_be_built(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{mode}', and this version builds no images on the platform 'gke'"):
        NamedBuilder("gke").named(mode)


def test_an_image_of_requirements() -> None:
    builder, request = NamedBuilder(), ImageRequest("cpu", "3.11", "python:3.11-slim")
    for ask in (
        lambda: builder.request_for("cpu", "keras\n"),
        lambda: builder.find(request),
        lambda: builder.ensure(request, log=print),
    ):
        with pytest.raises(ConfigurationError, match="No `container_image` is given"):
            ask()
