"""Processes in the environment `.frameworks`, each killed at the end of its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from frameworks import PYTHON, Script, has
from gcs_server import GcsServer
from orbax_places import Place

from airflow_provider_kinetic.job import gcs_vault
from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.vaults import FileVault


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies here is of the group; on a busy machine JAX alone may take half a minute to start."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.frameworks)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """``script("-c", code)`` or ``script(EXAMPLES / "jax_orbax.py")`` in ``tmp_path``; keywords are its environment."""
    assert PYTHON.exists(), "make .frameworks/.ready"
    running: list[Script] = []

    def start(*arguments: str | Path, folder: Path = tmp_path, **env: str) -> Script:
        running.append(Script(*arguments, folder=folder, **env))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def torch() -> None:
    """A test that needs it is skipped where it is absent: `.ci/run` knows this line."""
    if not has("torch"):
        pytest.skip("torch is not installed in .frameworks")


@pytest.fixture
def on_gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, GcsServer]]:
    with GcsServer("tests") as server:
        env = {
            "STORAGE_EMULATOR_HOST": server.url,
            "TENSORSTORE_GCS_HTTP_URL": server.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "anybody",
        }
        session = Session(env, patience=10)
        vault = GcsVault(session)
        monkeypatch.setattr(gcs_vault, "vault", lambda: vault)
        yield Place("gs://tests/out put", vault, env), server
        session.close()
        assert server.unknown == []


@pytest.fixture(params=["file", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(path_to_uri(tmp_path / "out put"), FileVault())
    return request.getfixturevalue("on_gcs")[0]
