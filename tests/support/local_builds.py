"""Waiting for builds of the local builder, whoever started them."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_kinetic.builders.base import ImageBuilder
from airflow_provider_kinetic.model.images import Build, BuildState, BuildStatus, Image, ImageRequest

PATIENCE = 30.0


def finished(builder: ImageBuilder, build: Build) -> BuildStatus:
    """How the build ended."""
    deadline = time.monotonic() + PATIENCE
    while not (status := builder.status(build)).state.terminal:
        assert time.monotonic() < deadline, f"{build.tag} is {status.state} for too long:\n{status.log_tail}"
        time.sleep(0.02)
    return status


def built(builder: ImageBuilder, request: ImageRequest, log: Callable[[str], None] = print) -> Image:
    """The image of a request that can be built."""
    status = finished(builder, builder.start(request, log=log))
    assert status.state is BuildState.SUCCEEDED, f"{status.message}\n{status.log_tail}"
    assert status.image is not None
    return status.image
