"""Which parts stand behind the ports of a platform.

:data:`PLATFORMS` is the extension point: an entry maps the word in the connection's ``platform`` to a function that
opens the three ports of a target. To add something around the ports (counting, faults in a test), put a
function there that calls the one it replaces. Parts are imported when they are opened: whoever only
reads a connection loads no SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.builders.base import ImageBuilder
    from airflow_provider_kinetic.clusters.access import Access
    from airflow_provider_kinetic.clusters.base import Cluster, Watcher
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.model.target import Target
    from airflow_provider_kinetic.stores.base import Store


def _local(target: Target) -> Ports:
    from airflow_provider_kinetic.builders.local import LocalBuilder
    from airflow_provider_kinetic.clusters.local import LocalCluster
    from airflow_provider_kinetic.job.storage import uri_to_path
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.stores.local import LocalStore

    return Ports(
        cluster=LocalCluster(uri_to_path(target.cluster_uri), max_parallel=target.max_parallel),
        store=LocalStore(),
        builder=LocalBuilder(uri_to_path(target.environments_uri), options=target.build),
    )


def _gke(target: Target) -> Ports:
    """No network: the cluster is looked up when it is first asked."""

    def access() -> Access:
        from airflow_provider_kinetic.hooks.gke import GKECluster, KineticGKEHook

        cluster = GKECluster(target.project, target.zone, target.cluster)
        return KineticGKEHook(target.gcp_conn_id).access(cluster, target.endpoint)

    return _on_kubernetes(target, access)


def _kubernetes(target: Target) -> Ports:
    """The kubeconfig is read when the cluster is first asked."""

    def access() -> Access:
        from airflow_provider_kinetic.hooks.kubernetes import KineticKubernetesHook

        return KineticKubernetesHook(target.kubernetes_conn_id).access()

    return _on_kubernetes(target, access)


def _on_kubernetes(target: Target, access: Callable[[], Access]) -> Ports:
    from airflow_provider_kinetic.clusters.watch import POLLED
    from airflow_provider_kinetic.hooks.gcs import KineticGCSHook
    from airflow_provider_kinetic.hooks.late import LateWatcher, late
    from airflow_provider_kinetic.lifecycle.ports import Ports

    def cluster() -> Cluster:
        from airflow_provider_kinetic.clusters.kubernetes import KubernetesCluster

        return KubernetesCluster(access(), target.namespace)

    def watcher() -> Watcher:
        from airflow_provider_kinetic.clusters.watch import KubernetesWatcher

        return KubernetesWatcher(access(), target.namespace)

    store = KineticGCSHook(target.gcp_conn_id).store()
    return Ports(
        cluster=late(cluster),
        store=store,
        builder=_image_builder(target, store),
        watcher=LateWatcher(watcher, polled=POLLED),
    )


def _image_builder(target: Target, store: Store) -> ImageBuilder:
    """Images are built where it is known where they may lie: for any cluster but GKE's, where a repository is named."""
    from airflow_provider_kinetic.builders.named import NamedBuilder
    from airflow_provider_kinetic.hooks.cloud_images import cloud_image_builder

    named = NamedBuilder(target.platform, base_image_repo=target.base_image_repo, prebuilt_tag=target.prebuilt_tag)
    builds = target.platform == "gke" or (target.project and target.build.repository)
    return cloud_image_builder(target, store, named) if builds else named


PLATFORMS: dict[str, Callable[[Target], Ports]] = {"gke": _gke, "kubernetes": _kubernetes, "local": _local}


def open_ports(target: Target) -> Ports:
    """Cluster, store and image builder of a target.

    :raises ConfigurationError: nothing is registered for its platform.
    """
    try:
        opener = PLATFORMS[target.platform]
    except KeyError:
        raise ConfigurationError(
            f"No platform {target.platform!r} is registered.", advice=f"There are: {', '.join(sorted(PLATFORMS))}."
        ) from None
    return opener(target)
