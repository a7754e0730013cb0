"""Creating a job from an order that waits in the store, by whoever gets there.

A trigger may wait for an image and then create the job without a worker (``design`` 3.7). It may be run again from its
beginning, on another machine, at any time, so a creation has to happen once however often it is asked for: the
cluster refuses a second object of the name, and a mark beside the order says that it was carried out,
so that a job which was deleted meanwhile does not come back. A cancellation leaves its mark before it deletes, and a
creation looks for that mark before and after: whichever of the two comes last sees the other.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial

from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.stores.base import Store

ORDER = "manifest.json"
"""Beside the job's artifacts: what it is created from."""


def leave_order(store: Store, handle: JobHandle, manifest: JobManifest) -> str:
    """Store what the job is to be created from; the URI for :func:`create_once`.

    A try that submits again, under the same id, does so because there is no job: an old mark would keep it from coming.
    """
    uri = handle.artifact(ORDER)
    together(partial(store.delete, _mark(uri)), partial(store.write, uri, json.dumps(manifest.to_dict()).encode()))
    return uri


def _mark(order: str) -> str:
    return f"{order}.created"


def create_once(ports: Ports, handle: JobHandle, manifest: str) -> None:
    """Create the job whose manifest lies at the URI ``manifest``, unless that was done, or the job is not wanted.

    The order holds no secrets, so a job with secret variables cannot be created in this way.

    :raises ClusterError: the cluster failed or refused; ask again.
    """
    mark = _mark(manifest)
    if ports.store.stat(mark) is not None or cleanup.mark_of(ports.store, handle) is not None:
        return
    try:
        order = JobManifest.from_dict(json.loads(ports.store.read(manifest)))
    except ObjectMissing:
        return  # the job was cleaned up, with its order
    with suppress(JobExists):
        ports.cluster.create(order)
    if cleanup.mark_of(ports.store, handle) is not None:
        ports.cluster.delete(handle)
        return
    ports.store.write(mark, b"{}")
