"""Where an existing job is, and with whose credentials it is reached.

A handle says where a job's objects are and what the job is called. It travels through XCom and lies in the bucket, so
it may be forged; therefore it never says which server is sent a token. That is the connection's to say, and a
handle of another place is an error here, before anything is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.target import Target


def target_of_handle(handle: JobHandle, kinetic_conn_id: str) -> Target:
    """Where an existing job is.

    :raises ConfigurationError: the connection is not one of the place where the job is.
    """
    if handle.platform == "local":
        return _local(handle, kinetic_conn_id)
    from airflow_provider_kinetic.hooks.connection import get_connection, resolve_target

    conn = get_connection(kinetic_conn_id)
    platform = conn.extra_dejson.get("platform")
    if platform == "local" or (handle.ours and platform in _CLOUDS and handle.platform != platform):
        raise _elsewhere(handle, f"on the platform {handle.platform or 'gke'!r}", kinetic_conn_id, repr(platform))
    places = {
        "project": handle.project,
        "zone": handle.zone,
        "cluster": handle.cluster_name,
        "namespace": handle.namespace,
        "bucket": handle.root,
        "output_root": handle.output_root,
    }
    target = resolve_target(kinetic_conn_id, {name: value for name, value in places.items() if value}, conn=conn)
    if target.platform == "kubernetes" and handle.cluster_uri not in (None, target.cluster_uri):
        raise _elsewhere(handle, f"on {handle.cluster_uri}", kinetic_conn_id, target.cluster_uri)
    return target


_CLOUDS = ("gke", "kubernetes")


def _local(handle: JobHandle, kinetic_conn_id: str) -> Target:
    """The connection is not even read."""
    from airflow_provider_kinetic.model.target import Target

    places: dict[str, Any] = {
        "store_root": handle.root,
        "environments_uri": f"{handle.root.rpartition('/')[0]}/environments",
        "project": handle.project,
        "zone": handle.zone,
        "cluster": handle.cluster_name,
        "namespace": handle.namespace,
    }
    places |= {key: value for key in ("output_root", "cluster_uri") if (value := getattr(handle, key)) is not None}
    return Target(platform="local", kinetic_conn_id=kinetic_conn_id, **places)


def _elsewhere(handle: JobHandle, where: str, conn_id: str, reached: str) -> ConfigurationError:
    return ConfigurationError(
        f"Job {handle.job_id} is {where}; the connection `{conn_id}` leads to {reached}.",
        advice="Pass the `kinetic_conn_id` of the connection through which it was submitted"
        + (f": `{handle.kinetic_conn_id}`." if handle.kinetic_conn_id not in (None, conn_id) else "."),
    )
