"""What a store has to hand over to be held to the contract: the four fixtures below, once for every store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from gcs_places import BUCKET, gcs, gcs_store

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.local import LocalStore

__all__ = ["BUCKET", "gcs", "gcs_store"]

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
