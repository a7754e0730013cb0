"""Fixtures: a Cloud Storage of this process, and our store over it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from garbage import collected
from gcs_server import GcsServer

from airflow_provider_kinetic.stores.gcs import GcsStore

BUCKET = "tests"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    """A Cloud Storage with one bucket, for this process and those that it starts."""
    with GcsServer(BUCKET) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "tests")
        yield server
        assert server.unknown == []


@pytest.fixture
def gcs_store(gcs: GcsServer) -> Iterator[GcsStore]:
    """Over the server. The client library leaves sockets of refused downloads to the garbage collector."""
    from google.cloud.storage import Client

    warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)  # pytest takes it back after the test
    with collected():
        clients = [Client(client_options={"api_endpoint": gcs.url})]
        yield GcsStore(lambda: clients[0], patience=10)
        clients.pop().close()
