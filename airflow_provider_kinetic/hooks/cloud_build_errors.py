"""What Cloud Build refuses, as this provider's errors that name the role, the quota or the parameter."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_kinetic.model.errors import ImageError, InfrastructureError, QuotaExceeded

EDITOR = "Cloud Build Editor (roles/cloudbuild.builds.editor) on the project"
START = "start builds"
POOL_USER = "Cloud Build WorkerPool User (roles/cloudbuild.workerPoolUser) on the project of the pool"
ACTS_AS = "Service Account User (roles/iam.serviceAccountUser)"
_REQUEST = re.compile(r"^[A-Z]+ https?://\S+: ")
"""With what the client library begins its messages."""
_ACTS_AS = re.compile(r"act as|actAs|iam\.serviceAccounts", re.IGNORECASE)
_SOURCE = re.compile(r"resolve source|storage\.objects|storage object", re.IGNORECASE)
_QUOTA = re.compile(r"quota|resource.?exhausted|rate limit", re.IGNORECASE)
_POOL = re.compile(r"worker.?pools?", re.IGNORECASE)
_ACCOUNT = re.compile(r"service ?account", re.IGNORECASE)


def refusal(error: Any, verb: str, place: str, who: str) -> InfrastructureError:
    """Of an answer with an HTTP status: what it says and what to do.

    :param error: has the answer's ``message`` and its status as ``code`` or ``status``.
    :param verb: what was asked for: :data:`START`, or something that may be asked for again and again.
    """
    status = int(getattr(error, "code", 0) or getattr(error, "status", 0))
    said = (_REQUEST.sub("", str(error.message)).strip() or "no reason given").splitlines()[0][:500]
    if status >= 500 or status == 408:
        return unanswered(f"{status} {said}")
    if status == 429 and verb != START:
        return unanswered(f"too many requests: {said}")
    if status == 429 or _QUOTA.search(said):
        return QuotaExceeded(
            f"A quota of Cloud Build is used up in {place}: {said}",
            advice="Retry later, ask for more (Cloud Build API, in the console under Quotas), or build elsewhere:"
            " `build_region` or `build_worker_pool` of the connection. New projects may build in some regions only.",
        )
    if status == 403:
        return ImageError(f"{who} may not {verb} in {place}: {said}", advice=_forbidden(said))
    if status == 401:
        return ImageError(
            f"Google does not accept the credentials of {who}: {said}",
            advice="The key was deleted or the account disabled: correct the connection that `gcp_conn_id` names.",
        )
    return ImageError(f"Cloud Build refuses to {verb} in {place}: {said}", advice=_invalid(said))


def unanswered(error: object) -> InfrastructureError:
    """Nobody knows whether it was done."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return InfrastructureError(
        f"Cloud Build does not answer: {said}",
        advice="Check the network between this machine and cloudbuild.googleapis.com (proxy, firewall), then retry;"
        " https://status.cloud.google.com says whether the service has trouble.",
    )


def _forbidden(said: str) -> str:
    if _ACTS_AS.search(said):
        return f"Grant it {ACTS_AS} on the account that builds: `build_service_account`, else kn-{{cluster}}-builds."
    if _SOURCE.search(said):
        return _READ_SOURCE
    if _POOL.search(said):
        return f"Grant it {POOL_USER}."
    return f"Grant it {EDITOR}. Is the Cloud Build API enabled there?"


def _invalid(said: str) -> str:
    if _SOURCE.search(said):
        return _READ_SOURCE
    if _ACCOUNT.search(said):
        return "Name an account that exists as `build_service_account` of the connection."
    return (
        "Its answer says what is wrong: `build_region`, `build_worker_pool`, `build_machine_type` and `build_tags` of"
        " the connection go into the request."
    )


_READ_SOURCE = (
    "Grant the account that builds (`build_service_account`, else kn-{cluster}-builds) Storage Object Viewer"
    " (roles/storage.objectViewer) on the bucket of the connection: what is built lies there."
)
