"""Where things live on an API server, and the queries that we ask with: plain values for every kind of client."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

PAGE = 500
"""Objects in one page of a listing."""
JOBS = "app=kinetic"
"""Label selector of Jobs and their pods, ours and upstream's (contract 3.2)."""
GROUPS = "app=kinetic-pathways"
"""Label selector of upstream's LeaderWorkerSets and their pods."""
GROUP_API = "leaderworkerset.x-k8s.io"
JOB_RESOURCE = "jobs.batch"
GROUP_RESOURCE = f"leaderworkersets.{GROUP_API}"
"""As messages and ``kubectl auth can-i`` name them."""
VERSION = "/version"
API_GROUPS = "/apis/"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
_NAMESPACE = re.compile("/namespaces/([^/]+)")


def jobs(namespace: str) -> str:
    """Of all namespaces where ``namespace`` is empty, like every collection here."""
    return f"/apis/batch/v1{_within(namespace)}/jobs"


def job(namespace: str, name: str) -> str:
    return _one(jobs(namespace), name)


def pods(namespace: str) -> str:
    return _core(namespace, "pods")


def pod(namespace: str, name: str) -> str:
    return _one(pods(namespace), name)


def log(namespace: str, pod_name: str) -> str:
    return f"{pod(namespace, pod_name)}/log"


def events(namespace: str) -> str:
    return _core(namespace, "events")


def secrets(namespace: str) -> str:
    return _core(namespace, "secrets")


def secret(namespace: str, name: str) -> str:
    return _one(secrets(namespace), name)


def service_account(namespace: str, name: str) -> str:
    return _one(_core(namespace, "serviceaccounts"), name)


def namespace(name: str) -> str:
    return _one(NAMESPACES, name)


def leaderworkersets(namespace: str, version: str = "v1") -> str:
    return f"/apis/{GROUP_API}/{version}{_within(namespace)}/leaderworkersets"


def leaderworkerset(namespace: str, name: str, version: str = "v1") -> str:
    return _one(leaderworkersets(namespace, version), name)


def namespace_of(path: str) -> str:
    """Namespace in a path of this module; empty where it has none."""
    found = _NAMESPACE.search(path)
    return unquote(found[1]) if found else ""


def of_job(name: str) -> dict[str, str]:
    """Query for the pods of a Job or of a LeaderWorkerSet."""
    return {"labelSelector": f"job-name={name}"}


def about(name: str) -> dict[str, str]:
    """Query for the events about one object."""
    return {"fieldSelector": f"involvedObject.name={name}"}


def page(selector: str = "", after: str = "", limit: int = PAGE) -> dict[str, str]:
    """Query for one page of a listing; ``after`` is the ``continue`` of the page before."""
    query = {"labelSelector": selector, "limit": str(limit)} if selector else {"limit": str(limit)}
    return {**query, "continue": after} if after else query


def watch(selector: str, resource_version: str, seconds: int) -> dict[str, str]:
    """Query for the changes since ``resource_version``, with bookmarks, for at most so many seconds."""
    return {
        "labelSelector": selector,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        "timeoutSeconds": str(seconds),
    }


def _core(namespace: str, plural: str) -> str:
    return f"/api/v1{_within(namespace)}/{plural}"


def _within(namespace: str) -> str:
    return f"/namespaces/{quote(namespace, safe='')}" if namespace else ""


def _one(collection: str, name: str) -> str:
    return f"{collection}/{quote(name, safe='')}"
