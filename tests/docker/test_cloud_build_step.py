"""The step that Cloud Build is asked for, carried out here: the same archive, the same arguments, a real Docker."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from docker_engine import Engine
from docker_images import HERE, Builder

from airflow_provider_kinetic.builders.cloud_build_request import Workshop, build_request, source_archive
from airflow_provider_kinetic.builders.dockerfile import image_request
from airflow_provider_kinetic.model.images import BuildOptions

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

REGISTRY = "127.0.0.1:1/acme/kn-c/base"
"""Nobody answers there: no layers of an earlier build can be had, as at the first build of a category."""


def test_the_step_builds_the_archive_and_needs_no_earlier_build(engine: Engine, build: Builder, tmp_path: Path) -> None:
    options = BuildOptions(base_image=build.base_image)
    request = image_request("cpu", "iniconfig==2.0.0\n", HERE, options, ["six"])
    with tarfile.open(fileobj=io.BytesIO(source_archive(request))) as archive:
        archive.extractall(tmp_path, filter="data")
    asked = build_request(Workshop("p", "c", options), f"{REGISTRY}:{request.tag}", "gs://b/source.tar.gz", [])
    (step,) = asked["steps"]
    here = ["--network=host", "--build-arg", f"UV_IMAGE={build.uv_image}"]
    engine.docker(
        step["args"][0], *here, *step["args"][1:], env=dict(item.split("=") for item in step["env"]), cwd=tmp_path
    )
    for image in asked["images"]:
        assert engine.output(image, "python3", "-c", "import iniconfig, six; print('both')") == "both"
