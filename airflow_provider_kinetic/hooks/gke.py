"""A GKE cluster through a Google connection: where its API server is, and a token for it.

The look-up is one GET of the cluster's description. The client library for it, and the google provider's hook around
it, would cost every task process 90 MiB and two seconds of imports for that one request.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.clusters.access import Access, Bearer
from airflow_provider_kinetic.hooks.google import GoogleIdentityHook
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError

if TYPE_CHECKING:
    from httpx import Response

SERVICE = "https://container.googleapis.com/"
OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER"
"""gcloud's variable for another address of the service; upstream's client, which calls gcloud, honours it too."""
KEEP = 600.0
"""Seconds for which a description is used again: endpoint and authority of a cluster change about once a year."""
TIMEOUT = 30.0
"""Seconds for the look-up."""


@dataclass(frozen=True)
class GKECluster:
    """Which cluster. ``zone`` may be a region."""

    project: str
    zone: str
    name: str

    @property
    def path(self) -> str:
        return f"projects/{self.project}/locations/{self.zone}/clusters/{self.name}"


class KineticGKEHook(GoogleIdentityHook):
    """Reaches GKE clusters with the credentials of a connection of type ``google_cloud_platform``."""

    def access(self, cluster: GKECluster, endpoint: str = "") -> Access:
        """The cluster's API server, as this identity; asks Google unless it was asked lately.

        :param endpoint: ``public``, ``private``, ``dns``, or empty: the public one where there is one, else the
            private one, else DNS.
        :raises ClusterError: the cluster does not exist, or may not be looked at, or Google does not answer.
        :raises ConfigurationError: the cluster has no such endpoint.
        """
        principal = self.principal
        server, authority = choose(self.describe(cluster), endpoint, cluster)
        return Access(server=server, identity=principal.name, authority=authority, tokens=principal.tokens)

    def describe(self, cluster: GKECluster) -> dict[str, Any]:
        """The cluster's description: https://cloud.google.com/kubernetes-engine/docs/reference/rest, ``Cluster``."""
        key = (os.getpid(), self.principal.name, cluster)
        with _locks.setdefault(key, threading.Lock()):
            found = _descriptions.get(key)
            if found is None or time.monotonic() - found[0] > KEEP:
                found = _descriptions[key] = (time.monotonic(), self._look_up(cluster))
            return found[1]

    def _look_up(self, cluster: GKECluster) -> dict[str, Any]:
        import httpx

        principal = self.principal
        quota = getattr(principal.credentials, "quota_project_id", None)
        url = f"{(os.environ.get(OVERRIDE) or SERVICE).rstrip('/')}/v1/{cluster.path}"
        headers = {"x-goog-user-project": quota} if quota else {}
        try:
            response = httpx.get(url, headers=headers, auth=Bearer(principal.tokens), timeout=TIMEOUT)
        except httpx.HTTPError as error:
            raise _away(cluster, error) from error
        if not response.is_success:
            raise _refused(cluster, response, principal.name)
        return dict(response.json())


_Key = tuple[int, str, GKECluster]
_descriptions: dict[_Key, tuple[float, dict[str, Any]]] = {}
_locks: dict[_Key, threading.Lock] = {}


def choose(description: dict[str, Any], endpoint: str, cluster: GKECluster) -> tuple[str, str | None]:
    """Address and certificate authority; no authority of its own for the DNS endpoint, whose certificate is public."""
    offered = _offered(description)
    kind = endpoint or next((kind for kind in ("public", "private", "dns") if kind in offered), "public")
    if kind not in offered:
        there_are = ", ".join(offered) or "none yet; its status is " + str(description.get("status", "unknown"))
        raise ConfigurationError(
            f"The cluster {cluster.name} has no {kind} endpoint.",
            advice=f"Set `endpoint` in the connection to one that it has: {there_are}.",
        )
    if kind == "dns":
        return f"https://{offered[kind]}", None
    authority = (description.get("masterAuth") or {}).get("clusterCaCertificate")
    if not authority:
        raise ClusterError(
            f"Google says no certificate authority for the cluster {cluster.name}.",
            advice="The cluster is being created, or the role lacks container.clusters.get in full: grant Kubernetes"
            " Engine Cluster Viewer (roles/container.clusterViewer).",
        )
    return f"https://{offered[kind]}", base64.b64decode(authority).decode()


def _offered(description: dict[str, Any]) -> dict[str, str]:
    """Addresses by kind. ``endpoint`` is the public one unless only the private one is open."""
    control = description.get("controlPlaneEndpointsConfig") or {}
    dns, ip = control.get("dnsEndpointConfig") or {}, control.get("ipEndpointsConfig") or {}
    older = description.get("privateClusterConfig") or {}
    private = ip.get("privateEndpoint") or older.get("privateEndpoint")
    public = ip.get("publicEndpoint") or older.get("publicEndpoint") or description.get("endpoint")
    if older.get("enablePrivateEndpoint") or ip.get("enablePublicEndpoint") is False or public == private:
        private, public = private or description.get("endpoint"), None
    if ip.get("enabled") is False:
        public = private = None
    found = {"public": public, "private": private}
    if dns.get("allowExternalTraffic"):
        found["dns"] = dns.get("endpoint")
    return {kind: address for kind, address in found.items() if address}


def _refused(cluster: GKECluster, response: Response, who: str) -> ClusterError:
    said = _message(response)
    if response.status_code == 404:
        return ClusterError(
            f"There is no cluster {cluster.name!r} in {cluster.zone} of the project {cluster.project!r}: {said}",
            advice="Correct `cluster`, `zone` (of a regional cluster: its region) and `project` of the connection.",
        )
    if response.status_code == 403:
        return ClusterError(
            f"{who} may not look at the cluster {cluster.name!r} of the project {cluster.project!r}: {said}",
            advice="Grant it Kubernetes Engine Cluster Viewer (roles/container.clusterViewer) on the project, and to"
            " run jobs Kubernetes Engine Developer (roles/container.developer). Is the Kubernetes Engine API enabled?",
        )
    if response.status_code == 401:
        return ClusterError(
            f"Google does not accept the credentials of {who}: {said}",
            advice="The key was deleted or the account disabled: correct the connection that `gcp_conn_id` names.",
        )
    return ClusterError(
        f"Google could not look up the cluster {cluster.name!r}: {response.status_code} {said}",
        advice="Retry; https://status.cloud.google.com says whether Kubernetes Engine has trouble.",
    )


def _message(response: Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase or "no reason given"


def _away(cluster: GKECluster, error: Exception) -> ClusterError:
    return ClusterError(
        f"Google does not answer when asked for the cluster {cluster.name!r}: {str(error)[:300]}",
        advice="Check the network between this machine and container.googleapis.com (proxy, firewall), then retry.",
    )
