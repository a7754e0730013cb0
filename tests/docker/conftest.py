"""One engine with a bare Python image and one that brings uv, for the whole group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stored_job
from docker_engine import Engine, missing
from docker_images import HERE, Builder, bare_python, uv_image
from gcs_server import GcsServer

from airflow_provider_kinetic.builders.dockerfile import UV_IMAGE
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.gcs import GcsStorage
from airflow_provider_kinetic.job.gcs_http import Session


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    if reason := missing():
        pytest.skip(reason)
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def bare(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with this Python and no package."""
    return bare_python(engine, tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def build(engine: Engine, bare: str, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    folder = tmp_path_factory.mktemp("uv")
    return Builder(engine, bare, uv_image(engine, folder, UV_IMAGE.rpartition(":")[2]))


@pytest.fixture
def run_job(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``run_job(image, function, *args)`` runs it in a container as a pod does, and gives what it returned."""
    with GcsServer("tests") as server:
        session = Session({"STORAGE_EMULATOR_HOST": server.url}, patience=10)
        storage = GcsStorage(session)
        environ = {
            "STORAGE_EMULATOR_HOST": server.url,
            protocol.ENV_JOB_ID: "job-1",
            protocol.ENV_OUTPUT_DIR: stored_job.OUTPUT,
            protocol.ENV_PYTHON: HERE,
        }
        options = [word for item in environ.items() for word in ("--env", "=".join(item))]

        def run(image: str, function: Callable[..., Any], *args: Any) -> Any:
            ended = engine.run(image, *stored_job.submit(storage, tmp_path, function, *args), options=options)
            assert ended.returncode == 0, ended.stdout
            return stored_job.result(storage)

        yield run
        session.close()
        assert server.unknown == []
