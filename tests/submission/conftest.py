"""A DAG file and a platform for every test: this machine, or a cluster with a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_shop import CloudShop
from shop import Shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        yield shop


@pytest.fixture
def cloud_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudShop]:
    with CloudShop.opened(tmp_path, monkeypatch, service_accounts=["trainer", "common"]) as shop:
        yield shop
