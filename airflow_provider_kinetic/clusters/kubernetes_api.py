"""Reading the answers of an API server: bodies, its clock, what may be asked again, and what a refusal means.

Pure functions over ``httpx.Response``, so that the blocking cluster and the watch in the event loop read alike.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.kubernetes_errors import refusal, unreachable, unreadable
from airflow_provider_kinetic.model.kubernetes.objects import entries, text, whole

__all__ = [
    "LONGEST_RETRY_AFTER",
    "explained",
    "group_version",
    "message_of",
    "not_found",
    "passing",
    "paths",
    "read",
    "retry_after",
    "server_time",
    "unreachable",
]

LONGEST_RETRY_AFTER = 30.0
"""Seconds: a server that wants more is asked again all the same."""

_PASSING = (429, 502, 503, 504)


def explained(response: httpx.Response, what: str, namespace: str = "") -> None:
    """Raise what an answer other than success means; its body has to be read.

    :param what: the verb and resource in RBAC's words: ``create jobs.batch``, ``list pods``, ``get pods/log``.
    :raises ClusterError: the server failed or refused: the summary says why, the advice names permission and role.
    :raises QuotaExceeded: a quota of the namespace is used up.
    :raises ConfigurationError: the object is not valid.
    """
    if not response.is_success:
        raise refusal(response.status_code, message_of(response), str(response.url), what, namespace)


def read(response: httpx.Response, what: str, namespace: str = "") -> dict[str, Any]:
    """The JSON object of a successful answer; raises like :func:`explained`.

    :raises ClusterError: it is none, so whoever answered is no API server.
    """
    explained(response, what, namespace)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise unreadable(str(response.url), what)
    return body


def not_found(response: httpx.Response) -> bool:
    """Whether the API server says that there is no such object.

    A proxy or another server at that address says 404 too, and a job must not count as gone for that.
    """
    if response.status_code != httpx.codes.NOT_FOUND:
        return False
    try:
        status = json.loads(response.content)
    except ValueError:
        return False
    return text(status, "kind") == "Status" and text(status, "reason") == "NotFound"


def message_of(response: httpx.Response) -> str:
    """What the server says of a failure: the message of its ``Status``, else the text, on one line."""
    body = response.text
    try:
        said = text(json.loads(body), "message")
    except ValueError:
        said = ""
    return " ".join((said or body).split()) or response.reason_phrase


def passing(status: int) -> bool:
    """Whether the same request may be taken in a moment. 500 is not among them: only a few repetitions make sense."""
    return status in _PASSING


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server wants to be left alone, at most :data:`LONGEST_RETRY_AFTER`; None: it does not say.

    Kubernetes says it in the header or in ``details.retryAfterSeconds`` of its ``Status``.
    """
    wanted = response.headers.get("Retry-After", "")
    seconds: float | None = float(wanted) if wanted.isdecimal() else None
    if seconds is None:
        try:
            seconds = whole(json.loads(response.content), "details", "retryAfterSeconds")
        except (ValueError, httpx.ResponseNotRead):
            seconds = None
    return None if seconds is None else min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def server_time(response: httpx.Response) -> float:
    """The server's clock when it answered, in Unix seconds, from the ``Date`` header; ours where there is none."""
    try:
        found = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return time.time()
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def group_version(groups: Mapping[str, Any]) -> str | None:
    """Preferred version of LeaderWorkerSets in the body of ``GET /apis/``; None: the cluster has none."""
    found = next((one for one in entries(groups, "groups") if text(one, "name") == paths.GROUP_API), None)
    return None if found is None else text(found, "preferredVersion", "version") or "v1"
