"""Creating a Job and its Secret, so that a lost answer neither fails a submission nor starts it twice.

The Job comes first, because the Secret is owned by it and named by its uid (``design`` 3.14); until the Secret is
there, the pod waits. A Secret is given to a Job only if that Job says that it belongs to the same task instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from airflow_provider_kinetic.clusters import kubernetes_delete
from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.clusters.kubernetes_api import explained, read
from airflow_provider_kinetic.clusters.kubernetes_session import Session
from airflow_provider_kinetic.model.errors import ClusterError, KineticError
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.kubernetes.labels import IDENTITY, PREFIX
from airflow_provider_kinetic.model.kubernetes.objects import condition, entries, section, text
from airflow_provider_kinetic.model.kubernetes.secret import render_secret, secret_name
from airflow_provider_kinetic.model.manifests import JobManifest

_CREATE_JOB = f"create {paths.JOB_RESOURCE}"
_GET_JOB = f"get {paths.JOB_RESOURCE}"
_WHOSE = tuple(f"{PREFIX}/{name}" for name in IDENTITY if name != "try")
_ATTEMPTS = 3
"""Times that an object which is gone when it is looked at may be in the way."""
_REFUSED = (400, 403, 404, 413, 422)


def create(session: Session, manifest: JobManifest, secrets: Mapping[str, str]) -> None:
    """Create the Job, and its Secret where there are ``secrets``.

    :raises JobExists: a Job of that name is there, made by somebody else or by an earlier call; if it is of the same
        task instance and lacks its Secret, that is made first.
    """
    job = render(manifest, has_secrets=bool(secrets))
    if secrets:
        render_secret(manifest, secrets, job_uid="")  # bad values are found before anything is sent
    for _ in range(_ATTEMPTS):
        answer = session.ask("POST", paths.jobs(manifest.namespace), _CREATE_JOB, body=job, accept=(409,))
        if answer.status != httpx.codes.CONFLICT:
            _give_secret(session, manifest, secrets, read(answer.response, _CREATE_JOB, manifest.namespace), made=True)
            return
        if not answer.doubtful and not secrets:
            raise JobExists(manifest.name)
        there, _ = session.find(paths.job(manifest.namespace, manifest.name), _GET_JOB)
        if there is None:
            continue
        mine = answer.doubtful and _made_from(there, manifest)
        if _belongs_to(there, manifest) and not _over(there):
            _give_secret(session, manifest, secrets, there, made=mine)
        if mine:
            return
        raise JobExists(manifest.name)
    raise ClusterError(
        f"The Job {manifest.name} can neither be created nor found in namespace {manifest.namespace!r}.",
        advice="Something deletes it as soon as it is there; retry, and see the audit log of the cluster.",
    )


def _give_secret(
    session: Session, manifest: JobManifest, secrets: Mapping[str, str], job: Mapping[str, Any], *, made: bool
) -> None:
    """``made``: the Job is new, so it goes again where its Secret is refused: its pod would wait for ever."""
    if not secrets:
        return
    secret = render_secret(manifest, secrets, job_uid=text(job, "metadata", "uid"))
    for _ in range(_ATTEMPTS):
        what, path = "create secrets", paths.secrets(manifest.namespace)
        answer = session.ask("POST", path, what, body=secret, accept=(409, *_REFUSED))
        if answer.status in _REFUSED:
            if made:
                _withdraw(session, manifest)
            explained(answer.response, what, manifest.namespace)
        if answer.status != httpx.codes.CONFLICT or _has_its_secret(session, manifest, job):
            return
    raise ClusterError(
        f"The Secret {secret_name(manifest.name)} can neither be created nor found.",
        advice="Something deletes it as soon as it is there; retry, and see the audit log of the cluster.",
    )


def _has_its_secret(session: Session, manifest: JobManifest, job: Mapping[str, Any]) -> bool:
    """Whether the Secret in the way is this Job's; one that an earlier Job of that name left behind is removed."""
    path = paths.secret(manifest.namespace, secret_name(manifest.name))
    there, _ = session.find(path, "get secrets")
    if there is None:
        return False
    owners = {text(owner, "uid"): text(owner, "name") for owner in entries(there, "metadata", "ownerReferences")}
    if text(job, "metadata", "uid") in owners:
        return True
    if manifest.name not in owners.values():
        raise ClusterError(
            f"A Secret {secret_name(manifest.name)} is there already, and does not belong to the Job {manifest.name}.",
            advice=f"Find out whose it is: `kubectl get secret {secret_name(manifest.name)} -o yaml "
            f"--namespace={manifest.namespace}`. Clear the task to submit under another name.",
        )
    this_one = {"preconditions": {"uid": text(there, "metadata", "uid")}}
    session.ask("DELETE", path, "delete secrets", body=this_one, accept=(404, 409))
    return False


def _withdraw(session: Session, manifest: JobManifest) -> None:
    with suppress(KineticError):
        kubernetes_delete.ask(session, paths.job(manifest.namespace, manifest.name), paths.JOB_RESOURCE)


def _made_from(job: Mapping[str, Any], manifest: JobManifest) -> bool:
    """Whether it was made from this very manifest. The cluster's admission may have added annotations."""
    said = section(job, "metadata", "annotations")
    return _same_id(job, manifest) and all(said.get(key) == value for key, value in manifest.annotations.items())


def _belongs_to(job: Mapping[str, Any], manifest: JobManifest) -> bool:
    """Whether it is of the same task instance, whichever try made it."""
    said = section(job, "metadata", "annotations")
    return _same_id(job, manifest) and all(said.get(key) == manifest.annotations.get(key) for key in _WHOSE)


def _same_id(job: Mapping[str, Any], manifest: JobManifest) -> bool:
    return text(job, "metadata", "labels", "job-id") == manifest.job_id


def _over(job: Mapping[str, Any]) -> bool:
    """Whether it needs its Secret no more."""
    ended = condition(job, "Complete") or condition(job, "Failed")
    return bool(ended or text(job, "metadata", "deletionTimestamp"))
