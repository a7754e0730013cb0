"""What an identity may do in a namespace, asked before a job needs it (the connection's Test)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.kubernetes_api import not_found, read
from airflow_provider_kinetic.clusters.kubernetes_errors import ROLE
from airflow_provider_kinetic.clusters.kubernetes_session import Session
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.kubernetes.objects import section, text


class Permission(NamedTuple):
    """A verb on a resource; ``resource`` as people write it: ``jobs.batch``, ``pods/log``."""

    verb: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    def review(self, namespace: str) -> dict[str, Any]:
        """Body of a SelfSubjectAccessReview."""
        qualified, _, subresource = self.resource.partition("/")
        resource, _, group = qualified.partition(".")
        asked = {"namespace": namespace, "verb": self.verb, "group": group, "resource": resource}
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**asked, **({"subresource": subresource} if subresource else {})}},
        }


NEEDED = (
    *(Permission(verb, "jobs.batch") for verb in ("create", "get", "list", "watch", "delete")),
    *(Permission(verb, "pods") for verb in ("list", "watch")),
    Permission("get", "pods/log"),
    Permission("create", "secrets"),
)
"""Without one of these some task fails."""
USEFUL = (Permission("list", "events"),)
"""Without these a job runs, and says less of why it waits."""


def check(session: Session, namespace: str) -> str:
    """One line of what was found.

    :raises ClusterError: the server cannot be reached, there is no such namespace, or permissions are missing.
    """
    version = text(read(session.ask("GET", paths.VERSION, "get /version").response, "get /version"), "gitVersion")
    _check_namespace(session, namespace)
    missing = [one for one in NEEDED if not allowed(session, namespace, one)]
    if missing:
        raise ClusterError(
            f"Missing permissions in namespace {namespace!r} of {session.access.server}: {_words(missing)}.",
            advice=f"On GKE grant the connection's identity {ROLE} on the project; elsewhere bind a Role with these "
            f"verbs, or `kubectl create rolebinding kinetic --clusterrole=edit --namespace={namespace} --user=…`.",
        )
    lacking = [one for one in USEFUL if not allowed(session, namespace, one)]
    less = f"; may not {_words(lacking)}, so a job that waits says less" if lacking else ""
    found = f"Kubernetes {version} at {session.access.server}"
    return f"{found}: may create Jobs and read pods and logs in namespace {namespace!r}{less}"


def allowed(session: Session, namespace: str, permission: Permission) -> bool:
    """Whether the API server's authorizers, IAM's on GKE included, let the session's identity do that."""
    what = "create selfsubjectaccessreviews.authorization.k8s.io"
    answer = session.ask("POST", paths.ACCESS_REVIEWS, what, body=permission.review(namespace))
    return section(read(answer.response, what), "status").get("allowed") is True


def nodes(session: Session, selector: Mapping[str, str]) -> int | None:
    """Number of nodes with these labels, of any value where it is empty; None where they may not be seen."""
    if not allowed(session, "", Permission("list", "nodes")):
        return None
    labels = ",".join(f"{key}={value}" if value else key for key, value in selector.items())
    return len(session.list(paths.NODES, "list nodes", paths.page(labels)).items)


def _check_namespace(session: Session, namespace: str) -> None:
    """Listing a namespace that does not exist succeeds, so it has to be asked for; not everybody may see it."""
    answer = session.ask("GET", paths.namespace(namespace), "get namespaces", accept=(403, 404))
    if not_found(answer.response):
        raise ClusterError(
            f"There is no namespace {namespace!r} on {session.access.server}.",
            advice=f"Name another `namespace` in the connection, or make it: `kubectl create namespace {namespace}`.",
        )


def _words(permissions: list[Permission]) -> str:
    return ", ".join(map(str, permissions))
