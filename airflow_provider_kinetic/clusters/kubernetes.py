"""A Kubernetes cluster, GKE or any other, as the machines that jobs run on.

Jobs are written by ``model.kubernetes.job`` and read by ``model.kubernetes.status``; here is only the talking.
LeaderWorkerSets of upstream's client are read and deleted, never made (contract 3.4).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping

from airflow_provider_kinetic.clusters import (
    kubernetes_check,
    kubernetes_create,
    kubernetes_delete,
    kubernetes_list,
    kubernetes_logs,
)
from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.access import Access
from airflow_provider_kinetic.clusters.base import JobSummary
from airflow_provider_kinetic.clusters.kubernetes_api import not_found
from airflow_provider_kinetic.clusters.kubernetes_observation import (
    Memory,
    group_status,
    job_status,
    served_group_version,
)
from airflow_provider_kinetic.clusters.kubernetes_session import PATIENCE, Session
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.kubernetes.pods import newest_first
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.status import JobStatus

CHECK_PATIENCE = 10.0
"""Seconds: somebody waits for the answer of a connection's Test."""


class KubernetesCluster:
    """The ``Cluster`` port over one namespace, for one identity; thread-safe.

    Handles name their own namespace; ``namespace`` is that of listings and checks.

    :param patience: seconds for which a request that fails for a passing reason is repeated.
    :param page: objects in one page of a listing.
    """

    def __init__(self, access: Access, namespace: str, *, patience: float = PATIENCE, page: int = paths.PAGE) -> None:
        self.access = access
        self.namespace = namespace
        self._session = Session(access, patience=patience, page=page)
        self._memory = Memory()
        self._served: str | None = None

    def create(self, manifest: JobManifest, *, secrets: Mapping[str, str] | None = None) -> None:
        """Create the Job and then its Secret (``Cluster.create``). A repeated request finds its own Job again.

        :raises ConfigurationError: the manifest cannot be rendered, or the API server says that it is not valid.
        :raises QuotaExceeded: a quota of the namespace counts Jobs or Secrets.
        """
        kubernetes_create.create(self._session, manifest, secrets or {})

    def status(self, handle: JobHandle) -> JobStatus:
        """State of the Job or of upstream's LeaderWorkerSet (``Cluster.status``): two requests, four while it waits."""
        if _is_group(handle):
            return group_status(self._session, handle.namespace, handle.k8s_name, self._group_version())
        return job_status(self._session, handle.namespace, handle.k8s_name, self._memory)

    def annotations(self, handle: JobHandle) -> Mapping[str, str] | None:
        """What the object says of itself (``Cluster.annotations``)."""
        path = self._path(handle)
        found = self._session.find(path, f"get {_resource(handle)}")[0] if path else None
        return None if found is None else kubernetes_list.texts(found, "annotations")

    def delete(self, handle: JobHandle, *, wait: float = 0.0) -> bool:
        """Delete in the foreground (``Cluster.delete``): each pod gets its grace period, the object goes last.

        Within ``wait`` it returns when the object is gone as well; at the end of it only the pods count.
        """
        path, resource = self._path(handle), _resource(handle)
        where = {"namespace": handle.namespace, "name": handle.k8s_name}
        return kubernetes_delete.delete(self._session, path, resource, **where, wait=wait)

    def tail(self, handle: JobHandle, lines: int = 100) -> str:
        """Last output of the newest pod that was started (``Cluster.tail``), at most 1 MiB; of a group, its leader."""
        query = paths.of_job(handle.k8s_name)
        pods = newest_first(self._session.list(paths.pods(handle.namespace), "list pods", query).items)
        if _is_group(handle):
            pods = [pod for pod in pods if pod.name == f"{handle.k8s_name}-0"]
        return kubernetes_logs.tail(self._session, handle.namespace, pods, lines)

    def list(self, *, everywhere: bool = False) -> builtins.list[JobSummary]:
        """Jobs, ours and upstream's, and upstream's LeaderWorkerSets, newest first (``Cluster.list``)."""
        listing = kubernetes_list.everywhere if everywhere else kubernetes_list.summaries
        return listing(self._session, self.namespace, self._group_version())

    def check(self) -> str:
        """The API server's version and what may be done there (``Cluster.check``)."""
        return kubernetes_check.check(self._hasty(), self.namespace)

    def nodes(self, selector: Mapping[str, str]) -> int | None:
        """Number of nodes with these labels; None where the identity may not see nodes."""
        return kubernetes_check.nodes(self._hasty(), selector)

    def service_account_exists(self, name: str) -> bool | None:
        """Whether the namespace has that service account; None where the identity may not see it."""
        path = paths.service_account(self.namespace, name)
        answer = self._hasty().ask("GET", path, "get serviceaccounts", accept=(403, 404))
        return None if answer.status == 403 else not not_found(answer.response)

    def _hasty(self) -> Session:
        return Session(self.access, patience=min(CHECK_PATIENCE, self._session.patience))

    def _path(self, handle: JobHandle) -> str | None:
        """Of the object; None where the cluster has no objects of that kind."""
        if not _is_group(handle):
            return paths.job(handle.namespace, handle.k8s_name)
        version = self._group_version()
        return None if version is None else paths.leaderworkerset(handle.namespace, handle.k8s_name, version)

    def _group_version(self) -> str | None:
        """Asked for until there is one: the operator of LeaderWorkerSets may be installed later."""
        if self._served is None:
            self._served = served_group_version(self._session)
        return self._served


def _is_group(handle: JobHandle) -> bool:
    return handle.backend == "pathways"


def _resource(handle: JobHandle) -> str:
    return paths.GROUP_RESOURCE if _is_group(handle) else paths.JOB_RESOURCE
