"""Why a build failed: cause and advice from what Cloud Build and the last lines of its log say."""

from __future__ import annotations

from typing import Any

import pytest
from gcs_server import GcsServer
from google_apis_builds import GoogleBuilds

from airflow_provider_kinetic.builders import cloud_build_status
from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder
from airflow_provider_kinetic.builders.cloud_build_failure import cause_of, plain_lines
from airflow_provider_kinetic.model.images import Build, BuildState

RESOLUTION = """\
Step #0: #9 2.101   × No solution found when resolving dependencies:
Step #0: #9 2.101   ╰─▶ Because there is no version of nosuch==9 and you require nosuch==9, we can
Step #0: #9 2.101       conclude that your requirements are unsatisfiable.
Step #0: #9 ERROR: process "/bin/sh -c fill" did not complete successfully: exit code: 1
"""
FIRST = "#5 ERROR: failed to configure registry cache importer: x.pkg.dev/p/r/base:cache-cpu: not found\n"


@pytest.mark.parametrize(
    ("line", "message", "advice"),
    [
        (
            "ERROR: failed to solve: python:3.99-slim: failed to resolve source metadata for"
            " docker.io/library/python:3.99-slim: docker.io/library/python:3.99-slim: not found",
            "there is no base image docker.io/library/python:3.99-slim",
            "`base_image`",
        ),
        ("manifest for acme/x:1 not found: manifest unknown", "there is no base image acme/x:1", "`base_image`"),
        (
            "ERROR: failed to solve: acme/x: failed to resolve source metadata for docker.io/acme/x:latest: pull access"
            " denied, repository does not exist or may require authorization: insufficient_scope",
            "the base image docker.io/acme/x:latest does not exist or may not be read",
            "read its registry",
        ),
        (
            FIRST + RESOLUTION,
            "the requirements contradict one another: Because there is no version of nosuch==9",
            "Python",
        ),
        (
            "ERROR: No matching distribution found for nosuch==9",
            "no package fits the requirement nosuch==9",
            "Correct the requirements",
        ),
        ("  × Failed to build `jot==1.0`", "the requirement jot==1.0 could not be compiled", "wheel"),
        (
            "AssertionError: the task needs Python 3.11: 3.12.1 (main)",
            "the base image has another Python: the task needs Python 3.11",
            "`base_image`",
        ),
        (
            'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource',
            "the image may not be written to the repository",
            "roles/artifactregistry.writer",
        ),
        ('name unknown: Repository "kn-trainer" not found', "there is no such repository", "build_repository"),
        ("write /var/lib/docker/x: no space left on device", "the disk of the machine", "build_machine_type"),
        ("cannot update tag cache-cpu. The repository has enabled tag immutability", "tag move", "build_layer_cache"),
    ],
)
def test_the_log_says_why(line: str, message: str, advice: str) -> None:
    cause = cause_of({"status": "FAILURE", "statusDetail": "Build step 0 failed"}, plain_lines(line))
    assert message in cause.message
    assert "\n" not in cause.message
    assert advice in cause.advice


@pytest.mark.parametrize(
    ("build", "message", "advice"),
    [
        ({"status": "TIMEOUT", "timeout": "1200s"}, "it took longer than 1200s", "`build_timeout`"),
        ({"status": "EXPIRED"}, "waited too long for a machine", "Quotas"),
        ({"status": "INTERNAL_ERROR", "statusDetail": "oops"}, "internal error: oops", "Retry"),
        (
            {"status": "FAILURE", "failureInfo": {"type": "PUSH_NOT_AUTHORIZED", "detail": "denied"}},
            "the image may not be written to the repository: denied",
            "roles/artifactregistry.writer",
        ),
        ({"status": "FAILURE", "failureInfo": {"type": "FETCH_SOURCE_FAILED"}}, "bucket", "roles/storage.objectViewer"),
        ({"status": "FAILURE", "failureInfo": {"type": "LOGGING_FAILURE"}}, "log", "roles/logging.logWriter"),
        ({"status": "FAILURE", "statusDetail": "Build step 0 failed"}, "Build step 0 failed", "base image"),
        ({"status": "FAILURE"}, "the build failed", "requirements"),
    ],
)
def test_cloud_build_says_why(build: dict[str, Any], message: str, advice: str) -> None:
    cause = cause_of(build, "")
    assert message in cause.message
    assert advice in cause.advice


def failed(builder: CloudImageBuilder, google: GoogleBuilds, *lines: str, **facts: Any) -> Build:
    build = builder.start(builder.request_for("cpu", "nosuch==9\n"), log=lambda _: None)
    google.fail(google.only(), *lines, **facts)
    return build


def test_a_failure_is_told_with_the_last_lines_and_the_link(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    build = failed(builder, google, *(f"Step #0: #1 0.5 line {n}" for n in range(30)), *RESOLUTION.splitlines())
    status = builder.status(build)
    assert status.state is BuildState.FAILED
    assert "nosuch==9" in status.message
    assert status.log_tail.splitlines()[0] == "line 14"
    assert len(status.log_tail.splitlines()) == 20
    assert status.log_url == google.only()["logUrl"]


def test_all_are_told_the_same_and_the_log_is_read_once(builder_with: Any, google: GoogleBuilds) -> None:
    build = failed(builder_with(), google, *RESOLUTION.splitlines())
    told = [builder_with().status(build) for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert google.asked["entries.list"] == 1


def test_a_log_that_may_not_be_read_names_the_role(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    google.forbidden.add("logging.logEntries.list")
    build = failed(builder, google, statusDetail="Build step 0 failed")
    status = builder.status(build)
    assert status.message == "Build step 0 failed"
    assert "roles/logging.viewer" in status.advice
    assert status.log_url


def test_a_late_log_is_waited_for(
    builder: CloudImageBuilder, google: GoogleBuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = failed(builder, google)
    monkeypatch.setattr(cloud_build_status, "LATE", 0.0)
    assert builder.status(build).log_tail == ""
    assert google.asked["entries.list"] == 2


def test_a_store_that_fails_hides_no_failure(builder: CloudImageBuilder, google: GoogleBuilds, gcs: GcsServer) -> None:
    build = failed(builder, google, "ERROR: No matching distribution found for nosuch==9")
    gcs.buckets.clear()
    assert builder.status(build).message == "no package fits the requirement nosuch==9"


def test_a_timeout_is_told_as_such(builder: CloudImageBuilder, google: GoogleBuilds) -> None:
    status = builder.status(failed(builder, google, "working", status="TIMEOUT"))
    assert (status.state, status.message) == (BuildState.TIMED_OUT, "it took longer than 1200s")
    assert "`build_timeout`" in status.advice
