"""Looking for an image: there, absent, forbidden and unreachable are four different answers."""

from __future__ import annotations

import pytest
from google_apis_builds import GoogleBuilds

from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder
from airflow_provider_kinetic.builders.repository import DockerRepository
from airflow_provider_kinetic.hooks import google_rest
from airflow_provider_kinetic.model.errors import ConfigurationError, ImageError, InfrastructureError


def test_the_name_is_known_before_it_is_built(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    request = builder.request_for("cpu", "numpy\n")
    assert builder.uri(request) == f"europe-docker.pkg.dev/acme/kn-trainer/base:{request.tag}"
    assert not google.asked


def test_an_image_that_is_there_costs_one_request(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    request = builder.request_for("cpu", "numpy\n")
    google.push(builder.uri(request))
    found = builder.find(request)
    assert found is not None
    assert (found.uri, found.cached, found.build_id) == (builder.uri(request), True, "")
    assert google.asked == {"tags.get": 1}
    assert google.requests["/token"] == 1


def test_an_absent_image_is_no_error(builder: CloudImageBuilder) -> None:
    assert builder.find(builder.request_for("cpu", "")) is None


def test_a_forbidden_look_names_the_role(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    google.forbidden.add("artifactregistry.tags.get")
    with pytest.raises(ImageError, match="may not look") as caught:
        builder.find(builder.request_for("cpu", ""))
    assert "roles/artifactregistry.reader" in caught.value.advice


def test_a_missing_repository_says_how_to_make_it(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    google.repositories.clear()
    with pytest.raises(ImageError, match="There is no repository 'kn-trainer' in europe") as caught:
        builder.find(builder.request_for("cpu", ""))
    assert "gcloud artifacts repositories create kn-trainer" in caught.value.advice


def test_a_passing_trouble_is_waited_out(
    builder: CloudImageBuilder, google: GoogleBuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_rest, "PAUSES", (0.0, 0.0))
    google.faults += [("tags.get", 503, "try again"), ("tags.get", 429, "slower")]
    assert builder.find(builder.request_for("cpu", "")) is None
    assert google.asked == {"tags.get": 3}


def test_an_unreachable_registry_is_neither_absent_nor_forbidden(
    builder: CloudImageBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_rest, "PAUSES", (0.0,))
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY", "http://127.0.0.1:9")
    with pytest.raises(InfrastructureError, match="Artifact Registry does not answer") as caught:
        builder.find(builder.request_for("cpu", ""))
    assert not isinstance(caught.value, ImageError)


def test_credentials_that_are_not_taken_are_said(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    builder.find(builder.request_for("cpu", ""))
    google.issued.clear()
    google.issue = lambda: "worthless"  # type: ignore[method-assign]
    with pytest.raises(ImageError, match="does not accept the credentials") as caught:
        builder.find(builder.request_for("cpu", ""))
    assert "gcp_conn_id" in caught.value.advice


@pytest.mark.parametrize(
    ("zone", "place"),
    [
        ("europe-west4-a", "europe"),
        ("us-central1-b", "us"),
        ("asia-east1-a", "asia"),
        ("southamerica-east1-a", "southamerica-east1"),
        ("nowhere", "us"),
    ],
)
def test_repositories_of_clusters_are_those_of_upstream(zone: str, place: str) -> None:
    assert DockerRepository.of_cluster("acme", zone, "c").image == f"{place}-docker.pkg.dev/acme/kn-c/base"


def test_a_repository_may_have_folders() -> None:
    repository = DockerRepository.of("us-docker.pkg.dev/acme/team/models/")
    assert repository.image == "us-docker.pkg.dev/acme/team/models/base"
    assert repository.package.endswith("/repositories/team/packages/models%2Fbase")


@pytest.mark.parametrize("text", ["docker.io/library", "us-docker.pkg.dev/acme", "acme/kn-c", ""])
def test_other_registries_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="build_repository"):
        DockerRepository.of(text)


def test_images_are_listed_and_deleted(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    requests = [builder.request_for("cpu", f"numpy=={n}\n") for n in range(3)]
    for age, request in enumerate(requests):
        google.push(builder.uri(request), created=1000.0 - age)
    google.push("europe-docker.pkg.dev/acme/kn-trainer/base:cache-cpu", requests[0].tag, created=1000.0)
    google.push("europe-docker.pkg.dev/acme/kn-trainer/other:1")
    listed = builder.images()
    assert [image.tag for image in listed] == [request.tag for request in requests]
    assert (listed[0].uri, listed[0].created) == (builder.uri(requests[0]), 1000.0)
    for request in requests[:2]:
        builder.delete(request.tag)
        builder.delete(request.tag)
    assert [image.tag for image in builder.images()] == [requests[2].tag]
    assert len(google.pushed) == 3, "the layer cache still names the first one"


def test_a_forbidden_deletion_names_the_role(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    request = builder.request_for("cpu", "")
    google.push(builder.uri(request))
    google.forbidden.add("artifactregistry.tags.delete")
    with pytest.raises(ImageError, match="may not delete") as caught:
        builder.delete(request.tag)
    assert "roles/artifactregistry.repoAdmin" in caught.value.advice
