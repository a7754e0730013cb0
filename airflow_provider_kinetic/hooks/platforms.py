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
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.model.target import Target


def _local(target: Target) -> Ports:
    from airflow_provider_kinetic.builders.local import LocalBuilder
    from airflow_provider_kinetic.clusters.local import LocalCluster
    from airflow_provider_kinetic.job.storage import uri_to_path
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.stores.local import LocalStore

    return Ports(
        cluster=LocalCluster(uri_to_path(target.cluster_uri), max_parallel=target.max_parallel),
        store=LocalStore(),
        builder=LocalBuilder(uri_to_path(target.environments_uri)),
    )


def _not_yet(target: Target) -> Ports:
    raise ConfigurationError(
        f"The platform {target.platform!r} is not in this version yet.",
        advice='Set `platform` of the connection to "local"; with `emulate_accelerators` the same DAG file runs there.',
    )


PLATFORMS: dict[str, Callable[[Target], Ports]] = {"gke": _not_yet, "kubernetes": _not_yet, "local": _local}


def open_ports(target: Target) -> Ports:
    """Cluster, store and image builder of a target.

    :raises ConfigurationError: nothing is registered for its platform, or not in this version.
    """
    try:
        opener = PLATFORMS[target.platform]
    except KeyError:
        raise ConfigurationError(
            f"No platform {target.platform!r} is registered.", advice=f"There are: {', '.join(sorted(PLATFORMS))}."
        ) from None
    return opener(target)
