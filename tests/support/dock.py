"""Where data is shipped from in tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.lifecycle.data import ship
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.base import Store


@dataclass
class Dock:
    """Where data is shipped from: a store behind a target, and what was said."""

    store: Store
    target: Target
    said: list[str] = field(default_factory=list)

    def ship(self, *data: Data) -> list[DataReference]:
        places = {f"argument {number}": each for number, each in enumerate(data)}
        references = ship(self.store, self.target, places, self.said.append)
        return [references[each] for each in data]

    def objects(self) -> dict[str, bytes]:
        """By their names below the store's root."""
        place = f"{self.target.store_root}/"
        return {info.uri.removeprefix(place): self.store.read(info.uri) for info in self.store.list(place)}


class Before:
    """A store that lets something happen before it is asked for one thing."""

    def __init__(self, store: Store, method: str, happens: Callable[[], object]) -> None:
        self._store = store
        self._method = method
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._happens()
        return getattr(self._store, name)
