"""What a store has to hand over to be held to the contract; another store overrides these four fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.local import LocalStore


@pytest.fixture
def store() -> Store:
    return LocalStore()


@pytest.fixture
def store_source() -> str:
    """Statements that make ``store`` in another process."""
    return "from airflow_provider_kinetic.stores.local import LocalStore\nstore = LocalStore()\n"


@pytest.fixture
def root(tmp_path: Path) -> str:
    """URI of an empty place, without a final slash."""
    return path_to_uri(tmp_path / "objects")


@pytest.fixture
def uri_of(root: str) -> Callable[[str], str]:
    """The URI under which the store keeps an object of any name."""
    return lambda name: f"{root}/{quote(name)}"
