"""What lives in a namespace, from four requests whatever their number: objects first, then their pods.

Events are not read: a listing says how things are, not why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.base import JobSummary
from airflow_provider_kinetic.clusters.kubernetes_check import Permission, allowed
from airflow_provider_kinetic.clusters.kubernetes_session import Session
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.kubernetes.group import group_status_of
from airflow_provider_kinetic.model.kubernetes.objects import entries, section, text
from airflow_provider_kinetic.model.kubernetes.status import status_of
from airflow_provider_kinetic.model.status import JobStatus

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
_TEMPLATES = ("leaderTemplate", "workerTemplate")


def summaries(session: Session, namespace: str, group_version: str | None) -> list[JobSummary]:
    """Jobs of both clients and upstream's LeaderWorkerSets, newest first; of all namespaces where it is empty.

    Objects without a job id belong to something else (contract 9.4).
    """
    found = [*_jobs(session, namespace), *(_groups(session, namespace, group_version) if group_version else ())]
    return newest_first(found)


def everywhere(session: Session, namespace: str, group_version: str | None) -> list[JobSummary]:
    """The same of every namespace that the identity may list; of ``namespace`` alone where it may not see which."""
    if _listed(session, ""):
        return summaries(session, "", group_version)
    there = {namespace}
    if allowed(session, "", Permission("list", "namespaces")):
        there |= {
            _name(one)
            for one in session.list(paths.NAMESPACES, "list namespaces", paths.page(limit=session.page)).items
        }
    listed = (name for name in there if name == namespace or _listed(session, name))
    return newest_first(one for name in listed for one in summaries(session, name, group_version))


def _listed(session: Session, namespace: str) -> bool:
    return all(allowed(session, namespace, Permission("list", kind)) for kind in (paths.JOB_RESOURCE, "pods"))


def newest_first(found: Iterable[JobSummary]) -> list[JobSummary]:
    return sorted(found, key=lambda one: one.status.created_at or 0.0, reverse=True)


def texts(raw: Object, field: str) -> dict[str, str]:
    """Labels or annotations."""
    return {key: value for key, value in section(raw, "metadata", field).items() if isinstance(value, str)}


def _jobs(session: Session, namespace: str) -> list[JobSummary]:
    jobs = session.list(paths.jobs(namespace), f"list {paths.JOB_RESOURCE}", paths.page(paths.JOBS, limit=session.page))
    pods = _Pods(session, namespace, paths.JOBS)
    return [_summary(job, status_of(job, pods.of(job), server_time=pods.time)) for job in jobs.items if _id(job)]


def _groups(session: Session, namespace: str, version: str) -> list[JobSummary]:
    """Who may not see them still sees the Jobs, as upstream's client does it."""
    try:
        path = paths.leaderworkersets(namespace, version)
        groups = session.list(path, f"list {paths.GROUP_RESOURCE}", paths.page(paths.GROUPS, limit=session.page))
        pods = _Pods(session, namespace, paths.GROUPS)
    except ClusterError as error:
        log.warning("LeaderWorkerSets are not listed: %s", error.summary)
        return []
    return [
        _summary(group, group_status_of(group, pods.of(group), name=_name(group), server_time=pods.time))
        for group in groups.items
        if _id(group)
    ]


class _Pods:
    """Pods by the object that they name."""

    def __init__(self, session: Session, namespace: str, selector: str) -> None:
        found = session.list(paths.pods(namespace), "list pods", paths.page(selector, limit=session.page))
        self.time = found.time
        self._by: dict[tuple[str, str], list[Object]] = {}
        for pod in found.items:
            owner = (_namespace(pod), text(pod, "metadata", "labels", "job-name"))
            self._by.setdefault(owner, []).append(pod)

    def of(self, raw: Object) -> list[Object]:
        return self._by.get((_namespace(raw), _name(raw)), [])


def _summary(raw: Object, status: JobStatus) -> JobSummary:
    return JobSummary(
        name=_name(raw),
        job_id=_id(raw),
        status=status,
        labels=texts(raw, "labels"),
        annotations=texts(raw, "annotations"),
        namespace=_namespace(raw),
        images=tuple(_images(raw)),
    )


def _images(raw: Object) -> Iterator[str]:
    """Of a Job's template, or of the two templates of a LeaderWorkerSet."""
    group = section(raw, "spec", "leaderWorkerTemplate")
    for template in (section(raw, "spec", "template"), *(section(group, name) for name in _TEMPLATES)):
        for kind in ("initContainers", "containers"):
            yield from filter(None, (text(one, "image") for one in entries(template, "spec", kind)))


def _name(raw: Object) -> str:
    return text(raw, "metadata", "name")


def _namespace(raw: Object) -> str:
    return text(raw, "metadata", "namespace")


def _id(raw: Object) -> str:
    return text(raw, "metadata", "labels", "job-id")
