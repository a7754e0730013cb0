"""A DAG file on the local platform, whose images a workshop builds when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from image_shop import Place
from shop import Shop
from workshop import Workshop


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        place = Place(shop, Workshop(tmp_path / "workshop"))
        place.equip(place.workshop)
        yield place


@pytest.fixture
def quick(place: Place) -> Place:
    """Builds succeed by themselves."""
    place.build_quickly()
    return place
