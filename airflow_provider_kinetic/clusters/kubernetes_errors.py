"""What a refusal of an API server means and what to do about it.

The status code alone does not tell: 403 is a missing permission, a used-up quota, a webhook or a namespace that is
being deleted, and only the server's words say which. They are always quoted.
"""

from __future__ import annotations

import re
import ssl
from urllib.parse import urlsplit

from airflow_provider_kinetic.clusters.base import ClusterRefused
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, KineticError, QuotaExceeded

ROLE = "Kubernetes Engine Developer (roles/container.developer)"
"""The IAM role that has every permission that this provider asks for."""

_MEASURE = 1000
"""Characters of the server's message that are shown."""
_QUOTA = re.compile(r"exceeded quota: ")
_DENIED = re.compile(r'admission webhook "([^"]+)" denied the request|violates PodSecurity|ValidatingAdmissionPolicy')
_WEBHOOK_FAILED = re.compile(r'failed calling webhook "([^"]+)"')
_TERMINATING = "because it is being terminated"
_NO_NAMESPACE = re.compile(r'namespaces? "([^"]*)" not found')
_USER = re.compile(r'User "([^"]+)" cannot ')
_TOO_LARGE = "request is too large"


def refusal(status: int, message: str, url: str, what: str, namespace: str = "") -> KineticError:
    """The error for an answer with that status and message; ``what``: verb and resource, as ``create jobs.batch``."""
    said = message if len(message) <= _MEASURE else message[: _MEASURE - 1] + "…"
    place = f"{what} in namespace {namespace!r}" if namespace else what
    return (
        _admission(status, said, place, namespace)
        or _by_status(status, said, url, what, place, namespace)
        or ClusterError(
            f"The API server {server_of(url)} failed to {place}: {status} {said}",
            advice="Retry; if it stays, ask whoever keeps the cluster: the message above is the server's.",
        )
    )


def _admission(status: int, said: str, place: str, namespace: str) -> KineticError | None:
    """Refusals that come in several status codes, by their words."""
    if status < 400:
        return None
    if _QUOTA.search(said):
        look = f"kubectl describe resourcequota --namespace={namespace}"
        return QuotaExceeded(
            f"A quota of the namespace {namespace!r} is used up: {said}",
            advice=f"See `{look}`; wait for other jobs to end, or have the quota raised.",
        )
    if found := _DENIED.search(said):
        who = f"The admission webhook {found[1]}" if found[1] else "A policy of the cluster"
        return ClusterRefused(
            f"{who} refuses to {place}: {said}",
            advice="Ask whoever keeps that policy, or set what it wants with `pod_override`, `labels` or `requests`.",
        )
    if found := _WEBHOOK_FAILED.search(said):
        return ClusterError(
            f"The cluster could not {place}, because its admission webhook {found[1]} does not answer: {said}",
            advice="Retry; if it stays, whoever keeps the cluster has to repair the webhook.",
        )
    if _TERMINATING in said:
        return ClusterError(
            f"The namespace {namespace!r} is being deleted: {said}",
            advice="Name another `namespace` in the connection, or wait and make it again.",
        )
    return None


def _by_status(status: int, said: str, url: str, what: str, place: str, namespace: str) -> KineticError | None:
    if status == 401:
        return ClusterError(
            f"The API server {server_of(url)} does not accept the credentials (to {place}): {said}",
            advice="Check the connection that `gcp_conn_id` or `kubernetes_conn_id` names: the token was renewed once "
            "and refused again. The account may be disabled, or belong to another cluster.",
        )
    if status == 403:
        return _forbidden(said, what, place, namespace)
    if status == 404:
        return _missing(said, url, place, namespace)
    if status in (400, 413, 422) or _TOO_LARGE in said:
        return ConfigurationError(
            f"The API server does not take the object ({place}): {said}",
            advice="The field that it names comes from a parameter of the task or the connection, or from "
            "`pod_override`. Large values belong into arguments of the function.",
        )
    if status < 400:
        return unreadable(url, place)
    return None


def _forbidden(said: str, what: str, place: str, namespace: str) -> ClusterRefused:
    verb, _, resource = what.partition(" ")
    who = _USER.search(said)
    check = f"kubectl auth can-i {verb} {resource}" + (f" --namespace={namespace}" if namespace else "")
    return ClusterRefused(
        f"Missing permission: {place}" + (f", for {who[1]}" if who else "") + f". The API server says: {said}",
        advice=f"On GKE grant the connection's identity {ROLE} on the project; elsewhere a Role or ClusterRole with "
        f"the verb `{verb}` on `{resource}`. `{check}` tells when it is there.",
    )


def _missing(said: str, url: str, place: str, namespace: str) -> ClusterError:
    if found := _NO_NAMESPACE.search(said):
        name = found[1] or namespace
        return ClusterRefused(
            f"There is no namespace {name!r} on {server_of(url)}.",
            advice=f"Name another `namespace` in the connection, or make it: `kubectl create namespace {name}`.",
        )
    return ClusterError(
        f"{server_of(url)} does not know what was asked for ({place}): {said}",
        advice="Check that the connection names an API server, and its version: batch/v1 Jobs are needed.",
    )


def unreadable(url: str, place: str) -> ClusterError:
    """Something else than an API server answered."""
    return ClusterError(
        f"What answers at {server_of(url)} is not a Kubernetes API server (to {place}).",
        advice="Check the endpoint of the connection, and `HTTPS_PROXY`: a proxy or a login page may stand in between.",
    )


def unreachable(server: str, what: str, error: Exception) -> ClusterError:
    """No answer came: the network, a certificate, a machine that is off."""
    why = " ".join(str(error).split()) or type(error).__name__
    if untrusted(error):
        return ClusterError(
            f"The certificate of the API server {server} is not trusted: {why}",
            advice="Check the certificate authority in the connection: it must be the one of this cluster. A cluster "
            "that was made again has a new one.",
        )
    return ClusterError(
        f"The API server {server} could not be reached to {what}: {why}",
        advice="Check network, firewall and authorized networks between this machine and the server. A private GKE "
        'cluster is reached with `endpoint="dns"` or `endpoint="private"`.',
    )


def untrusted(error: BaseException | None) -> bool:
    """Whether the connection failed for a certificate, which no repetition mends."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def server_of(url: str) -> str:
    """``https://host:port`` of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
