"""The three ports of one target, in one hand."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_kinetic.builders.base import ImageBuilder
from airflow_provider_kinetic.clusters.base import Cluster, Watcher
from airflow_provider_kinetic.stores.base import Store


@dataclass(frozen=True)
class Ports:
    """Everything that the life cycle touches of the world."""

    cluster: Cluster
    store: Store
    builder: ImageBuilder
    watcher: Watcher | None = None
    """Tells of changes of this cluster's jobs; None where jobs are polled."""
