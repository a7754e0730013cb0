"""A GKE cluster through a Google connection: endpoints, identities, tokens, and what goes wrong."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from google_apis import CLUSTER, PROJECT, ZONE, GoogleApis
from kube import KubeServer
from kube.rbac import Rule

from airflow_provider_kinetic.clusters.access import Access, Bearer
from airflow_provider_kinetic.hooks.gke import GKECluster, KineticGKEHook
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, ConnectionError_

SUBMIT, OTHER = "submit@acme.iam.gserviceaccount.com", "other@acme.iam.gserviceaccount.com"
TRAINER = GKECluster(PROJECT, ZONE, CLUSTER)
CLOUD = "google_cloud_platform"


def jobs(access: Access, namespace: str = "default") -> int:
    """The status of a list of Jobs."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    with httpx.Client(base_url=access.server, verify=access.tls(), auth=Bearer(access.tokens)) as client:
        return client.get(path).status_code


@pytest.fixture
def hook(google: GoogleApis, connect: Any) -> KineticGKEHook:
    connect("gcp", CLOUD, **google.connection(SUBMIT))
    return KineticGKEHook("gcp")


def test_a_look_up_gives_a_server_that_takes_the_token(hook: KineticGKEHook, kube: KubeServer) -> None:
    access = hook.access(TRAINER)
    assert access.server == kube.url
    assert jobs(access) == 200


def test_one_look_up_and_one_token_serve_every_hook_of_an_identity(google: GoogleApis, connect: Any) -> None:
    connect("gcp", CLOUD, **google.connection(SUBMIT))
    found = [KineticGKEHook("gcp").access(TRAINER) for _ in range(5)]
    assert google.lookups == {SUBMIT: 1}
    assert [jobs(access) for access in found] == [200] * 5
    assert google.requests["/token"] == 1
    assert len({access.key for access in found}) == 1


def test_many_threads_cause_one_look_up(google: GoogleApis, connect: Any) -> None:
    connect("gcp", CLOUD, **google.connection(SUBMIT))
    threads = [threading.Thread(target=KineticGKEHook("gcp").access, args=(TRAINER,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (google.lookups[SUBMIT], google.requests["/token"]) == (1, 1)


def test_two_identities_on_one_cluster_never_mix(google: GoogleApis, connect: Any) -> None:
    google.rules[OTHER] = [Rule(["list"], ["jobs"], ["team"])]
    connect("ours", CLOUD, **google.connection(SUBMIT))
    connect("theirs", CLOUD, **google.connection(OTHER))
    ours, theirs = (KineticGKEHook(conn_id).access(TRAINER) for conn_id in ("ours", "theirs"))
    assert ours.key != theirs.key
    assert [jobs(ours), jobs(theirs), jobs(ours), jobs(theirs, "team")] == [200, 403, 200, 200]
    assert google.lookups == {SUBMIT: 1, OTHER: 1}


def test_a_token_that_is_refused_is_replaced_once(hook: KineticGKEHook, google: GoogleApis, kube: KubeServer) -> None:
    access = hook.access(TRAINER)
    assert jobs(access) == 200
    kube.revoke(google.issued[-1])
    assert jobs(access) == 200
    assert google.requests["/token"] == 2


def test_a_token_is_replaced_before_it_ends(google: GoogleApis, connect: Any) -> None:
    """The end that Google says counts: this token would still be taken."""
    google.lifetime = 0
    connect("short", CLOUD, **google.connection(SUBMIT, num_retries=1))
    access = KineticGKEHook("short").access(TRAINER)
    google.lifetime = 3600
    assert access.tokens is not None
    before = len(google.issued)
    assert access.tokens.get() == google.issued[-1]
    assert len(google.issued) == before + 1
    assert access.tokens.get() == google.issued[-1]
    assert len(google.issued) == before + 1


def test_the_end_of_a_token_is_in_unix_seconds(hook: KineticGKEHook) -> None:
    from airflow_provider_kinetic.hooks.google import fresh

    token = fresh(hook.principal.credentials, "gcp")
    assert token.expires == pytest.approx(time.time() + 3600, abs=60)


def test_an_identity_names_the_account_and_no_secret(hook: KineticGKEHook, google: GoogleApis) -> None:
    access = hook.access(TRAINER)
    assert access.identity.startswith(f"{SUBMIT} (")
    assert "PRIVATE" not in repr(access)
    assert google.issued[0] not in repr(access)


def test_impersonation_by_the_chain_of_the_connection(google: GoogleApis, connect: Any) -> None:
    google.rules[OTHER] = [Rule(["list"], ["jobs"], ["team"])]
    connect("chain", CLOUD, **google.connection(SUBMIT, impersonation_chain=OTHER))
    access = KineticGKEHook("chain").access(TRAINER)
    assert access.identity.startswith(f"{OTHER} (")
    assert google.lookups == {OTHER: 1}
    assert google.impersonations == [(SUBMIT, OTHER)]
    assert (jobs(access), jobs(access, "team")) == (403, 200)


def test_a_key_file_that_is_replaced_is_read_again(google: GoogleApis, connect: Any) -> None:
    extra = google.connection(SUBMIT)
    connect("gcp", CLOUD, **extra)
    assert KineticGKEHook("gcp").access(TRAINER).identity.startswith(SUBMIT)
    Path(extra["key_path"]).write_text(json.dumps(google.key_of(OTHER)))
    assert KineticGKEHook("gcp").access(TRAINER).identity.startswith(OTHER)


def test_a_key_in_the_connection_itself(google: GoogleApis, connect: Any) -> None:
    connect("inline", CLOUD, keyfile_dict=json.dumps(google.key_of(SUBMIT)))
    assert jobs(KineticGKEHook("inline").access(TRAINER)) == 200


@pytest.mark.parametrize("conn_id", ["google_cloud_default", "empty"])
def test_application_default_credentials(
    google: GoogleApis, connect: Any, monkeypatch: pytest.MonkeyPatch, conn_id: str
) -> None:
    """Where the connection says nothing, and where the default one does not exist."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.connection(SUBMIT)["key_path"])
    connect("empty", CLOUD)
    assert jobs(KineticGKEHook(conn_id).access(TRAINER)) == 200


ENDPOINTS = {
    "an older cluster": ({}, "", "1.2.3.4"),
    "older private nodes": (
        {"privateClusterConfig": {"publicEndpoint": "1.2.3.4", "privateEndpoint": "10.0.0.2"}},
        "",
        "1.2.3.4",
    ),
    "by name": (
        {"privateClusterConfig": {"publicEndpoint": "1.2.3.4", "privateEndpoint": "10.0.0.2"}},
        "private",
        "10.0.0.2",
    ),
    "older private endpoint": (
        {
            "endpoint": "10.0.0.2",
            "privateClusterConfig": {
                "publicEndpoint": "1.2.3.4",
                "privateEndpoint": "10.0.0.2",
                "enablePrivateEndpoint": True,
            },
        },
        "",
        "10.0.0.2",
    ),
    "no public endpoint": (
        {
            "endpoint": "10.0.0.2",
            "controlPlaneEndpointsConfig": {
                "ipEndpointsConfig": {"enabled": True, "enablePublicEndpoint": False, "privateEndpoint": "10.0.0.2"}
            },
        },
        "",
        "10.0.0.2",
    ),
    "DNS by name": (
        {
            "controlPlaneEndpointsConfig": {
                "dnsEndpointConfig": {"endpoint": "uid.gke.goog", "allowExternalTraffic": True}
            }
        },
        "dns",
        "uid.gke.goog",
    ),
    "DNS alone": (
        {
            "endpoint": "",
            "controlPlaneEndpointsConfig": {
                "dnsEndpointConfig": {"endpoint": "uid.gke.goog", "allowExternalTraffic": True},
                "ipEndpointsConfig": {"enabled": False},
            },
        },
        "",
        "uid.gke.goog",
    ),
}


@pytest.mark.parametrize(("said", "endpoint", "host"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_the_endpoint_that_is_wanted(
    hook: KineticGKEHook, google: GoogleApis, said: dict[str, Any], endpoint: str, host: str
) -> None:
    google.description = {**google.description, "endpoint": "1.2.3.4", **said}
    access = hook.access(TRAINER, endpoint)
    assert access.server == f"https://{host}"
    assert (access.authority is None) == host.endswith("goog"), "DNS endpoints have certificates of a public authority"


@pytest.mark.parametrize(("endpoint", "has"), [("private", "public"), ("dns", "public")])
def test_an_endpoint_that_the_cluster_does_not_have(hook: KineticGKEHook, endpoint: str, has: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no {endpoint} endpoint") as caught:
        hook.access(TRAINER, endpoint)
    assert "`endpoint`" in caught.value.advice
    assert has in caught.value.advice


def test_dns_is_not_offered_where_it_is_closed(hook: KineticGKEHook, google: GoogleApis) -> None:
    google.description["controlPlaneEndpointsConfig"] = {"dnsEndpointConfig": {"endpoint": "uid.gke.goog"}}
    with pytest.raises(ConfigurationError, match="no dns endpoint"):
        hook.access(TRAINER, "dns")


def test_no_such_cluster(hook: KineticGKEHook) -> None:
    with pytest.raises(ClusterError, match=r"no cluster 'trainr' in europe-west4-a of the project 'acme'") as caught:
        hook.access(GKECluster(PROJECT, ZONE, "trainr"))
    assert "`zone`" in caught.value.advice


def test_not_allowed_to_look(hook: KineticGKEHook, google: GoogleApis) -> None:
    google.viewers = {OTHER}
    with pytest.raises(ClusterError, match=r"container\.clusters\.get") as caught:
        hook.access(TRAINER)
    assert SUBMIT in caught.value.summary
    assert "roles/container.clusterViewer" in caught.value.advice
    assert "roles/container.developer" in caught.value.advice
    google.viewers = None
    assert hook.access(TRAINER).server, "a refusal is not remembered"


def test_credentials_that_google_does_not_know(hook: KineticGKEHook, google: GoogleApis) -> None:
    google.owners = _Forgetful()
    with pytest.raises(ClusterError, match="does not accept the credentials") as caught:
        hook.access(TRAINER)
    assert "gcp_conn_id" in caught.value.advice


class _Forgetful(dict[str, str]):
    def get(self, *_: object) -> None:  # type: ignore[override]
        return None


def test_google_does_not_answer(hook: KineticGKEHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", "http://127.0.0.1:9/")
    with pytest.raises(ClusterError, match="does not answer"):
        hook.access(TRAINER)


def test_a_key_that_google_refuses(google: GoogleApis, connect: Any, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(google.key_of(SUBMIT) | {"token_uri": f"{google.url}/elsewhere"}))
    connect("gcp", CLOUD, key_path=str(key))
    with pytest.raises(ClusterError, match="no access token") as caught:
        KineticGKEHook("gcp").access(TRAINER)
    assert "`gcp`" in caught.value.advice


@pytest.mark.parametrize("extra", [{"keyfile_dict": "{"}, {"key_path": "/nowhere.json"}, {"key_path": "/key.p12"}])
def test_a_connection_that_holds_no_credentials(connect: Any, extra: dict[str, Any]) -> None:
    connect("gcp", CLOUD, **extra)
    with pytest.raises(ConnectionError_, match="`gcp` cannot be used"):
        KineticGKEHook("gcp").access(TRAINER)


def test_a_connection_that_does_not_exist() -> None:
    with pytest.raises(ConnectionError_, match="no connection `nowhere`") as caught:
        KineticGKEHook("nowhere")
    assert "airflow connections add nowhere --conn-type google_cloud_platform" in caught.value.advice
