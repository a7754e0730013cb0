"""Shipping to either platform: the same store, target and folders, once for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_trees import write
from dock import Dock
from garbage import collected
from gcs_server import GcsServer

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.gcs import GcsStore
from airflow_provider_kinetic.stores.local import LocalStore

BUCKET = "tests"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "airflow-provider-kinetic" / "data"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    with GcsServer(BUCKET, "acme") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
        assert server.unknown == []


@pytest.fixture
def cloud(gcs: GcsServer) -> Iterator[Dock]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)  # the library's; pytest takes it back
    with collected():
        clients = [Client("tests", AnonymousCredentials(), client_options={"api_endpoint": gcs.url})]
        target = Target("gke", "kinetic", f"gs://{BUCKET}", f"gs://{BUCKET}/outputs", "gke://p/z/c")
        yield Dock(GcsStore(lambda: clients[0], patience=5), target)
        clients.pop().close()


@pytest.fixture
def here(tmp_path: Path) -> Dock:
    root = path_to_uri(tmp_path / "store")
    return Dock(LocalStore(), Target("local", "kinetic", root, f"{root}/outputs", path_to_uri(tmp_path / "cluster")))


@pytest.fixture(params=["here", "cloud"])
def dock(request: pytest.FixtureRequest) -> Dock:
    found: Dock = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = write(tmp_path / "digits", {"b.txt": b"B", "a/z.bin": bytes(range(256)), "a.txt": b"", "a/inner/k": b"k"})
    (root / "empty").mkdir()
    return root
