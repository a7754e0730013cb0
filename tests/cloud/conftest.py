"""A DAG file and a cloud of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_shop import CloudShop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudShop]:
    with CloudShop.opened(tmp_path, monkeypatch) as shop:
        yield shop
