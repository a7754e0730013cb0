"""What a store has to hand over to be held to the contract: the four fixtures below, once for every store."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from garbage import collected
from gcs_server import GcsServer

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.gcs import GcsStore
from airflow_provider_kinetic.stores.local import LocalStore

BUCKET = "tests"
LOCAL_SOURCE = "from airflow_provider_kinetic.stores.local import LocalStore\nstore = LocalStore()\n"
GCS_SOURCE = (
    "from google.cloud.storage import Client\n"
    "from airflow_provider_kinetic.stores.gcs import GcsStore\n"
    "GcsStore(Client).stat('gs://tests/nothing')\n"  # has imported everything
    "store = GcsStore(Client)\n"  # has no connection yet, which forked processes would share
)


@pytest.fixture(params=["local", "gcs"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which store the contract is held against."""
    return str(request.param)


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


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest) -> Store:
    found: Store = LocalStore() if kind == "local" else request.getfixturevalue("gcs_store")
    return found


@pytest.fixture
def store_source(kind: str) -> str:
    """Statements that make ``store`` in another process."""
    return LOCAL_SOURCE if kind == "local" else GCS_SOURCE


@pytest.fixture
def root(kind: str, tmp_path: Path) -> str:
    """URI of an empty place, without a final slash."""
    return path_to_uri(tmp_path / "objects") if kind == "local" else f"gs://{BUCKET}/objects"


@pytest.fixture
def uri_of(kind: str, root: str) -> Callable[[str], str]:
    """The URI under which the store keeps an object of any name."""
    return lambda name: f"{root}/{quote(name) if kind == 'local' else name}"
