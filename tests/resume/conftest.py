"""A folder for trials whose decisions alone are tested, and a platform whose jobs run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop
from stories import Story


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        yield shop
