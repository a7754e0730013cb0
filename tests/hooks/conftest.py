"""A cluster, and a Google that knows it; connections as Airflow has them in its environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google_apis import GoogleApis
from kube import KubeServer

from airflow_provider_kinetic.clusters import clients

Connect = Callable[..., None]


@pytest.fixture(scope="session")
def kube() -> Iterator[KubeServer]:
    with KubeServer(namespaces=["team"], service_accounts=["kinetic"]) as server:
        yield server


@pytest.fixture
def google(kube: KubeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GoogleApis]:
    with GoogleApis(kube) as apis:
        apis.enter(monkeypatch, tmp_path)
        yield apis


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No connection outlives the server of its test."""
    yield
    clients.close()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """``connect("id", "type", field=value)`` makes an Airflow connection."""

    def make(conn_id: str, conn_type: str, **extra: Any) -> None:
        text = json.dumps({"conn_type": conn_type, "extra": extra})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)

    return make
