"""The images of a connection, and the jobs that use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_kinetic.hooks.platforms import open_ports
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle.pruning import users

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.base import Cluster
    from airflow_provider_kinetic.hooks.kinetic import KineticHook
    from airflow_provider_kinetic.model.target import Target


def used_images(hook: KineticHook) -> dict[str, tuple[str, ...]]:
    """Ids of the jobs that are not over, by the image that they run in.

    Asked are all namespaces that the connection may list, because images are built once for all of them.
    """
    jobs = [job for cluster in _clusters(hook) for job in cluster.list(everywhere=True)]
    return users(jobs)


def _clusters(hook: KineticHook) -> Iterator[Cluster]:
    """Clusters of this machine share their environments, whatever the connection names."""
    yield hook.ports.cluster
    for uri in _local_clusters(hook.target):
        if uri != hook.target.cluster_uri:
            yield open_ports(replace(hook.target, cluster_uri=uri)).cluster


def _local_clusters(target: Target) -> Iterator[str]:
    if target.platform == "local":
        for folder in target.cluster_folders:
            yield path_to_uri(folder)
