"""Any cluster through a connection of type ``kubernetes``: kubeconfigs in all their forms, and our own pod."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from kube import KubeServer, kubeconfig
from kube.rbac import Rule

from airflow_provider_kinetic.clusters import clients
from airflow_provider_kinetic.clusters.access import Access, Bearer
from airflow_provider_kinetic.hooks import kubeconfig as kubeconfig_of_ours
from airflow_provider_kinetic.hooks.kubernetes import KineticKubernetesHook
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, ConnectionError_

LIST_IN_TEAM = [Rule(["list"], ["jobs"], ["team"])]


def jobs(access: Access, namespace: str = "default") -> int:
    """The status of a list of Jobs."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    with httpx.Client(base_url=access.server, verify=access.tls(), auth=Bearer(access.tokens)) as client:
        return client.get(path).status_code


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No kubeconfig of this machine, and no pod around us."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(kube: KubeServer) -> dict[str, Any]:
    return kubeconfig.document(kube.url, kube.authority, kube.admin, "default")


def test_a_file(kube: KubeServer, connect: Any, tmp_path: Path) -> None:
    connect("k", "kubernetes", kube_config_path=str(kube.kubeconfig(tmp_path / "config")), namespace="team")
    hook = KineticKubernetesHook("k")
    assert jobs(hook.access()) == 200
    assert hook.namespace == "team"


@pytest.mark.parametrize("form", ["text", "object", "YAML", "a name of before Airflow 2.3"])
def test_the_content_itself(connect: Any, config: dict[str, Any], form: str) -> None:
    import yaml

    forms = {"text": json.dumps(config), "object": config, "YAML": yaml.safe_dump(config)}
    name = "kube_config" if form in forms else "extra__kubernetes__kube_config"
    connect(
        "k", "kubernetes", **{name: forms.get(form, json.dumps(config)), "in_cluster": False, "kube_config_path": ""}
    )
    assert jobs(KineticKubernetesHook("k").access()) == 200


def test_a_context_that_is_not_the_current_one(kube: KubeServer, connect: Any, config: dict[str, Any]) -> None:
    config["users"].append({"name": "guest", "user": {"token": kube.token("guest", LIST_IN_TEAM)}})
    config["contexts"].append({"name": "as guest", "context": {"cluster": "loopback", "user": "guest"}})
    connect("k", "kubernetes", kube_config=config, cluster_context="as guest")
    access = KineticKubernetesHook("k").access()
    assert (jobs(access), jobs(access, "team")) == (403, 200)


def test_two_identities_never_share(kube: KubeServer, connect: Any, config: dict[str, Any]) -> None:
    """The names in both kubeconfigs are the same ones."""
    other = kubeconfig.document(kube.url, kube.authority, kube.token("guest", LIST_IN_TEAM), "default")
    connect("a", "kubernetes", kube_config=config)
    connect("b", "kubernetes", kube_config=other)
    ours, theirs = (KineticKubernetesHook(conn_id).access() for conn_id in ("a", "b"))
    assert ours.key != theirs.key
    assert [jobs(ours), jobs(theirs), jobs(ours)] == [200, 403, 200]
    for access in (ours, theirs):
        assert kube.admin not in repr(access)


def test_identities_in_files_beside_two_kubeconfigs_never_share(
    kube: KubeServer, connect: Any, config: dict[str, Any], tmp_path: Path
) -> None:
    config["users"][0]["user"] = {"tokenFile": "token"}
    for name, token in (("a", kube.admin), ("b", kube.token("guest", LIST_IN_TEAM))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
        (tmp_path / name / "config").write_text(json.dumps(config))
        connect(name, "kubernetes", kube_config_path=str(tmp_path / name / "config"))
    ours, theirs = (KineticKubernetesHook(conn_id).access() for conn_id in ("a", "b"))
    path = "/apis/batch/v1/namespaces/default/jobs"
    assert [clients.client(access).get(path).status_code for access in (ours, theirs, ours)] == [200, 403, 200]


def test_one_access_serves_every_hook_of_a_connection(connect: Any, config: dict[str, Any]) -> None:
    connect("k", "kubernetes", kube_config=config)
    found = [KineticKubernetesHook("k").access() for _ in range(3)]
    assert found[0] is found[1] is found[2]


def test_a_kubeconfig_that_is_replaced_is_read_again(kube: KubeServer, connect: Any, tmp_path: Path) -> None:
    path = kube.kubeconfig(tmp_path / "config", token=kube.token("guest", LIST_IN_TEAM))
    connect("k", "kubernetes", kube_config_path=str(path))
    assert jobs(KineticKubernetesHook("k").access()) == 403
    kube.kubeconfig(path, token=kube.token("a longer name", LIST_IN_TEAM) + "x")
    kube.kubeconfig(path)
    assert jobs(KineticKubernetesHook("k").access()) == 200


def test_a_token_that_is_refused_is_read_again(kube: KubeServer, connect: Any, tmp_path: Path) -> None:
    old, path = kube.token("trainer"), tmp_path / "config"
    connect("k", "kubernetes", kube_config_path=str(kube.kubeconfig(path, token=old)))
    access = KineticKubernetesHook("k").access()
    assert jobs(access) == 200
    kube.revoke(old)
    assert jobs(access) == 401
    kube.kubeconfig(path)
    assert jobs(access) == 200


def test_a_token_in_a_file_that_rotates(kube: KubeServer, connect: Any, config: dict[str, Any], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(kube.token("first"))
    config["users"][0]["user"] = {"tokenFile": str(token)}
    connect("k", "kubernetes", kube_config=config)
    access = KineticKubernetesHook("k").access()
    assert jobs(access) == 200
    kube.revoke(token.read_text())
    token.write_text(kube.token("second"))
    assert jobs(access) == 200


PLUGIN = """
import json, pathlib, sys
counter = pathlib.Path({counter!r})
counter.write_text(counter.read_text() + "x")
status = {{"token": pathlib.Path({token!r}).read_text(), "expirationTimestamp": {expires!r}}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


def plugin(folder: Path, expires: datetime) -> dict[str, Any]:
    """A user whose credential comes from a program; ``folder/runs`` counts its runs."""
    (folder / "runs").write_text("")
    program = folder / "plugin.py"
    stamp = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    program.write_text(PLUGIN.format(counter=str(folder / "runs"), token=str(folder / "token"), expires=stamp))
    version = "client.authentication.k8s.io/v1"
    exec_ = {"apiVersion": version, "command": sys.executable, "args": [str(program)], "interactiveMode": "Never"}
    return {"exec": exec_}


def test_a_plugin_runs_once_until_its_token_ends(
    kube: KubeServer, connect: Any, config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(kube.token("first"))
    config["users"][0]["user"] = plugin(tmp_path, datetime.now(UTC) + timedelta(hours=1))
    connect("k", "kubernetes", kube_config=config)
    access = KineticKubernetesHook("k").access()
    assert [jobs(access), jobs(KineticKubernetesHook("k").access())] == [200, 200]
    assert (tmp_path / "runs").read_text() == "x"
    kube.revoke((tmp_path / "token").read_text())
    (tmp_path / "token").write_text(kube.token("second"))
    assert jobs(access) == 200
    assert (tmp_path / "runs").read_text() == "xx"


def test_a_plugin_runs_again_before_its_token_ends(
    kube: KubeServer, connect: Any, config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(kube.token("first"))
    config["users"][0]["user"] = plugin(tmp_path, datetime.now(UTC) - timedelta(minutes=1))
    connect("k", "kubernetes", kube_config=config)
    access = KineticKubernetesHook("k").access()
    assert jobs(access) == 200
    assert (tmp_path / "runs").read_text() == "xx"


def test_a_plugin_that_is_not_installed(connect: Any, config: dict[str, Any]) -> None:
    version = "client.authentication.k8s.io/v1"
    config["users"][0]["user"] = {"exec": {"apiVersion": version, "command": "gke-gcloud-auth-plugin-not-here"}}
    connect("k", "kubernetes", kube_config=config)
    with pytest.raises(ClusterError, match="gke-gcloud-auth-plugin-not-here"):
        KineticKubernetesHook("k").access()


HANGING = """
import pathlib, time
end = time.monotonic() + 20
while time.monotonic() < end and not pathlib.Path({gate!r}).exists():
    time.sleep(0.05)
"""


def test_a_plugin_that_hangs_does_not_stall_who_needs_its_token(
    connect: Any, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeconfig_of_ours, "PATIENCE", 0.2)
    gate, program = tmp_path / "gate", tmp_path / "plugin.py"
    program.write_text(HANGING.format(gate=str(gate)))
    version = "client.authentication.k8s.io/v1"
    config["users"][0]["user"] = {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(program)]}}
    connect("k", "kubernetes", kube_config=config)
    try:
        with pytest.raises(ClusterError, match=f"{sys.executable}.* within 0.2 s"):
            KineticKubernetesHook("k").access()
    finally:
        gate.touch()
        for thread in threading.enumerate():
            if thread.name == "kinetic-kubeconfig":
                thread.join(30)


def test_a_proxy_and_no_verification(connect: Any, config: dict[str, Any]) -> None:
    cluster = config["clusters"][0]["cluster"]
    cluster |= {"proxy-url": "http://127.0.0.1:3128", "insecure-skip-tls-verify": True}
    connect("k", "kubernetes", kube_config=config)
    access = KineticKubernetesHook("k").access()
    assert (access.proxy, access.verify) == ("http://127.0.0.1:3128", False)


def test_no_verification_asked_for_by_the_connection(connect: Any, config: dict[str, Any]) -> None:
    connect("k", "kubernetes", kube_config=config, disable_verify_ssl="true")
    access = KineticKubernetesHook("k").access()
    assert not access.verify
    assert jobs(access) == 200


def test_a_client_certificate(connect: Any, config: dict[str, Any], tmp_path: Path) -> None:
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    certificate.touch()
    key.touch()
    config["users"][0]["user"] = {"client-certificate": str(certificate), "client-key": str(key)}
    connect("k", "kubernetes", kube_config=config)
    access = KineticKubernetesHook("k").access()
    assert (access.client_certificate, access.tokens) == ((str(certificate), str(key)), None)


@pytest.mark.parametrize("field", ["tls-server-name"])
def test_what_is_not_honoured_is_an_error(connect: Any, config: dict[str, Any], field: str) -> None:
    config["clusters"][0]["cluster"][field] = "elsewhere"
    connect("k", "kubernetes", kube_config=config)
    with pytest.raises(ConfigurationError, match=field):
        KineticKubernetesHook("k").access()


def test_a_password(connect: Any, config: dict[str, Any]) -> None:
    config["users"][0]["user"] = {"username": "me", "password": "topsecret"}
    connect("k", "kubernetes", kube_config=config)
    with pytest.raises(ConfigurationError, match="password") as caught:
        KineticKubernetesHook("k").access()
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"kube_config": "{"}, "neither JSON nor YAML"),
        ({"kube_config": "a word"}, "no kubeconfig"),
        ({"kube_config": {"clusters": []}}, "current-context"),
        ({"kube_config_path": "/nowhere/config"}, "no kubeconfig at /nowhere/config"),
        ({}, "no kubeconfig at"),
        ({"kube_config_path": "/a", "in_cluster": True}, "both `in_cluster` and `kube_config_path`"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(connect: Any, extra: dict[str, Any], said: str) -> None:
    connect("k", "kubernetes", **extra)
    with pytest.raises(ConnectionError_, match=said) as caught:
        KineticKubernetesHook("k").access()
    assert "`k`" in caught.value.summary
    assert caught.value.advice


def test_a_context_that_does_not_exist(connect: Any, config: dict[str, Any]) -> None:
    connect("k", "kubernetes", kube_config=config, cluster_context="prod")
    with pytest.raises(ConnectionError_, match="prod") as caught:
        KineticKubernetesHook("k").access()
    assert "`cluster_context`" in caught.value.advice


def test_a_connection_that_does_not_exist() -> None:
    with pytest.raises(ConnectionError_, match="no connection `nowhere`"):
        KineticKubernetesHook("nowhere").access()


def test_the_default_kubeconfig_where_the_default_connection_does_not_exist(
    kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/nowhere:{kube.kubeconfig(tmp_path / 'config')}")
    assert jobs(KineticKubernetesHook().access()) == 200


@pytest.fixture
def pod(kube: KubeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of its service account."""
    host, _, port = kube.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(kube.authority)
    (folder / "namespace").write_text("airflow")
    (folder / "token").write_text(kube.token("system:serviceaccount:airflow:worker"))
    return folder


def test_the_pods_own_cluster_where_the_connection_says_so(kube: KubeServer, connect: Any, pod: Path) -> None:
    connect("k", "kubernetes", in_cluster=True)
    access = KineticKubernetesHook("k", service_account=pod).access()
    assert jobs(access) == 200
    kube.revoke((pod / "token").read_text())
    (pod / "token").write_text(kube.token("rotated"))
    assert jobs(access) == 200


def test_never_the_pods_own_cluster_where_it_does_not(connect: Any, pod: Path) -> None:
    """P9: an Airflow worker runs in a cluster too, and jobs must not go there by mistake."""
    connect("k", "kubernetes")
    with pytest.raises(ConnectionError_, match="no kubeconfig") as caught:
        KineticKubernetesHook("k", service_account=pod).access()
    assert "`in_cluster`" in caught.value.advice


def test_a_kubeconfig_comes_first_in_a_pod(connect: Any, pod: Path, config: dict[str, Any]) -> None:
    config["clusters"][0]["cluster"]["server"] = "https://elsewhere.example"
    connect("k", "kubernetes", kube_config=config, in_cluster=False)
    assert KineticKubernetesHook("k", service_account=pod).access().server == "https://elsewhere.example"


def test_in_cluster_outside_of_a_pod(connect: Any) -> None:
    connect("k", "kubernetes", in_cluster=True)
    with pytest.raises(ConfigurationError, match="does not run in a pod"):
        KineticKubernetesHook("k").access()


def test_a_pod_without_a_service_account(connect: Any, pod: Path) -> None:
    connect("k", "kubernetes", in_cluster=True)
    (pod / "ca.crt").unlink()
    with pytest.raises(ConnectionError_, match="no service account"):
        KineticKubernetesHook("k", service_account=pod).access()


def test_nothing_is_set_for_the_whole_process(connect: Any, config: dict[str, Any]) -> None:
    from kubernetes.client import Configuration

    def default() -> tuple[Any, ...]:
        found = Configuration.get_default_copy()
        return found.host, found.verify_ssl, found.ssl_ca_cert, found.api_key

    before = default()
    connect("k", "kubernetes", kube_config=config, disable_verify_ssl=True)
    KineticKubernetesHook("k").access()
    assert default() == before
