"""Images that are there already: named by the user, or prebuilt by upstream's client."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.builders.named import NamedBuilder
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import Image, ImageRequest

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
def test_words_for_images_are_no_names_of_images(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{mode}', and nothing is built on the platform 'gke'"):
        NamedBuilder("gke").named(mode)


def test_an_image_of_requirements_where_nothing_is_built() -> None:
    builder, request = NamedBuilder(), ImageRequest("cpu", "3.11", "python:3.11-slim")
    for ask in (
        lambda: builder.request_for("cpu", "keras\n"),
        lambda: builder.uri(request),
        lambda: builder.find(request),
        lambda: builder.start(request, log=print),
    ):
        with pytest.raises(ConfigurationError, match="No `container_image` is given"):
            ask()
    assert builder.images() == []


@pytest.mark.parametrize("category", ["cpu", "gpu", "tpu"])
def test_a_prebuilt_image_has_the_name_that_upstream_gives_it(category: str) -> None:
    builder = NamedBuilder("gke", base_image_repo="europe-docker.pkg.dev/acme/images/")
    assert builder.prebuilt(category) == Image(f"europe-docker.pkg.dev/acme/images/base-{category}:0.0.4", cached=True)


def test_a_prebuilt_image_of_another_release() -> None:
    builder = NamedBuilder("gke", base_image_repo="acme", prebuilt_tag="0.1.0.dev1")
    assert builder.prebuilt("cpu").uri == "acme/base-cpu:0.1.0.dev1"


def test_the_place_of_prebuilt_images_that_a_task_names_goes_first() -> None:
    assert NamedBuilder("gke", base_image_repo="ours").prebuilt("cpu", "theirs").uri == "theirs/base-cpu:0.0.4"


def test_a_prebuilt_image_that_nobody_knows_the_place_of() -> None:
    with pytest.raises(ConfigurationError) as caught:
        NamedBuilder("gke").prebuilt("cpu")
    assert "nobody says where the prebuilt images are" in caught.value.summary
    assert "`base_image_repo=`" in caught.value.advice


@pytest.mark.parametrize(("repository", "tag"), [("https://acme/images", None), ("acme:1:", "2"), ("acme", "a b")])
def test_a_prebuilt_image_that_cannot_be_named(repository: str, tag: str | None) -> None:
    with pytest.raises(ConfigurationError, match="no name of an image") as caught:
        NamedBuilder("gke", base_image_repo=repository, prebuilt_tag=tag).prebuilt("cpu")
    assert "`base_image_repo`" in caught.value.advice
    assert "`prebuilt_tag`" in caught.value.advice
