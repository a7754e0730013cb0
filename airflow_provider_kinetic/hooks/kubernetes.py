"""Any cluster through an Airflow connection of type ``kubernetes``: its kubeconfig, or the pod that we run in.

The extras are those of Airflow's own hook. What differs: nothing is set for the whole process, and the pod's own
cluster is taken only where the connection says ``in_cluster``. An Airflow worker usually runs in a
cluster too, and a job must never go there because a kubeconfig was not found (contract P9).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, ConnectionError_

if TYPE_CHECKING:
    from kubernetes.config.kube_config import KubeConfigLoader

DEFAULT_CONN_ID = "kubernetes_default"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds token, authority and namespace of its service account."""
REREAD = 60.0
"""Seconds after which a token in a file is read again: the kubelet replaces it long before its end."""

_SOURCES = ("in_cluster", "kube_config_path", "kube_config")


class KineticKubernetesHook(BaseHook):
    """Reaches the cluster of a connection of type ``kubernetes``.

    :param kubernetes_conn_id: the connection. Where ``kubernetes_default`` does not exist, the default kubeconfig.
    :param service_account: where the files of the pod's service account are.
    """

    conn_name_attr = "kubernetes_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "kubernetes"
    hook_name = "Kubernetes Cluster Connection"

    def __init__(
        self, kubernetes_conn_id: str = DEFAULT_CONN_ID, *, service_account: Path = SERVICE_ACCOUNT, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.kubernetes_conn_id = kubernetes_conn_id
        self.service_account = service_account

    def access(self) -> Access:
        """The API server and who we are there. No request to it; an ``exec`` plugin of the kubeconfig runs.

        :raises ConnectionError_: the connection does not exist, or what it names cannot be used.
        """
        key = (os.getpid(), self.kubernetes_conn_id, _digest([self.extras, os.environ.get("KUBECONFIG")]))
        with _reading:
            if key not in _known:
                _known[key] = self._read()
            return _known[key]

    @cached_property
    def extras(self) -> dict[str, Any]:
        """What the connection says, without the prefix that older Airflows gave the names."""
        try:
            raw = self.get_connection(self.kubernetes_conn_id).extra_dejson
        except AirflowNotFoundException:
            if self.kubernetes_conn_id == DEFAULT_CONN_ID:
                return {}
            raise ConnectionError_(
                f"There is no connection `{self.kubernetes_conn_id}`, which `kubernetes_conn_id` names.",
                advice=f"Make it: `airflow connections add {self.kubernetes_conn_id} --conn-type kubernetes"
                ' --conn-extra \'{"kube_config_path": "…"}\'`, or correct `kubernetes_conn_id`.',
            ) from None
        prefix = "extra__kubernetes__"
        prefixed = {name.removeprefix(prefix): value for name, value in raw.items() if name.startswith(prefix)}
        return {name: value for name, value in (prefixed | raw).items() if value not in (None, "")}

    @property
    def namespace(self) -> str | None:
        """The namespace that the connection names."""
        return self.extras.get("namespace")

    def _read(self) -> Access:
        given = [name for name in _SOURCES if _true(self.extras.get(name))]
        if len(given) > 1:
            raise ConnectionError_(
                f"The connection `{self.kubernetes_conn_id}` says both {' and '.join(f'`{name}`' for name in given)}.",
                advice="Leave one of them: only one can be meant.",
            )
        if given == ["in_cluster"]:
            return in_cluster(self.service_account, os.environ)
        with _understood(self.kubernetes_conn_id):
            config = Kubeconfig(self.extras.get("kube_config_path"), self.extras.get("kube_config"))
            return config.access(
                self.extras.get("cluster_context"), verify=not _true(self.extras.get("disable_verify_ssl"))
            )


_known: dict[tuple[int, str, str], Access] = {}
_reading = threading.Lock()


def in_cluster(folder: Path, environ: Mapping[str, str]) -> Access:
    """The cluster of the pod that we run in. Its token is read again every minute."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigurationError(
            "The connection says `in_cluster`, but this process does not run in a pod of a cluster.",
            advice="Give the connection a `kube_config_path` or a `kube_config`. Worker, triggerer and API server all"
            " need to reach the cluster.",
        )

    def fetch() -> Token:
        return Token((folder / "token").read_text().strip(), _soon())

    namespace = (folder / "namespace").read_text().strip() if (folder / "namespace").exists() else "default"
    address = f"[{host}]" if ":" in host else host
    return Access(
        server=f"https://{address}:{port}",
        identity=f"service account of the pod in {namespace} ({_digest(str(folder))})",
        authority=(folder / "ca.crt").read_text(),
        tokens=TokenSource(fetch),
    )


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig: a path (or several, as in ``KUBECONFIG``), or its content; without both the default one."""

    path: str | None = None
    content: str | dict[str, Any] | None = None

    def access(self, context: str | None = None, *, verify: bool = True) -> Access:
        """What the context says, the current one where none is named."""
        loader = self._loader(context)
        loaded = _Loaded(loader)
        cluster = loaded.section("clusters", "cluster")
        if cluster.get("tls-server-name"):
            raise ConfigurationError(
                "The kubeconfig says `tls-server-name`, which is not honoured.",
                advice="Use an address of the API server that its certificate names.",
            )
        first = loaded.token()
        waiting = [first] if first else []  # an `exec` plugin has just run: not again for the first request

        def fetch() -> Token:
            return waiting.pop() if waiting else _Loaded(self._loader(context)).token() or _none(context)

        return Access(
            server=loaded.server(),
            identity=loaded.identity(),
            authority=loaded.authority(),
            verify=verify and not cluster.get("insecure-skip-tls-verify"),
            client_certificate=loaded.certificate(),
            proxy=cluster.get("proxy-url"),
            tokens=TokenSource(fetch) if first else None,
        )

    def _loader(self, context: str | None) -> KubeConfigLoader:
        from kubernetes.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger

        if self.content is not None:
            return KubeConfigLoader(ConfigNode("kube-config", self._parsed()), active_context=context)
        paths = self.path or os.environ.get("KUBECONFIG") or "~/.kube/config"
        found = KubeConfigMerger(paths).config
        if found is None:
            raise ConfigurationError(
                f"There is no kubeconfig at {paths}.",
                advice="Give the connection a `kube_config_path` or a `kube_config`; for the cluster that this process"
                " itself runs in, say `in_cluster`.",
            )
        return KubeConfigLoader(found, active_context=context, config_base_path=None)

    def _parsed(self) -> dict[str, Any]:
        """JSON is YAML too."""
        import yaml

        parsed = yaml.safe_load(self.content) if isinstance(self.content, str) else self.content
        if not isinstance(parsed, dict):
            raise ConfigurationError("The `kube_config` of the connection is no kubeconfig.", advice=_FORM)
        return parsed


class _Loaded:
    """What a loader has found out, as plain values."""

    def __init__(self, loader: KubeConfigLoader) -> None:
        from kubernetes.client import Configuration

        self._loader = loader
        self._found = Configuration()
        loader.load_and_set(self._found)

    def section(self, kind: str, name: str) -> dict[str, Any]:
        """The cluster or the user of the context."""
        context = self._loader.current_context["context"]
        if not context.get(name):
            return {}
        entry = self._loader._config[kind].get_with_name(context[name], safe=True)
        value = getattr(entry, "value", entry) or {}
        return dict(value.get(name) or {})

    def server(self) -> str:
        return str(self._found.host).rstrip("/")

    def authority(self) -> str | None:
        path = self._found.ssl_ca_cert
        return Path(path).read_text() if path else None

    def certificate(self) -> tuple[str, str] | None:
        found = self._found
        return (found.cert_file, found.key_file) if found.cert_file and found.key_file else None

    def identity(self) -> str:
        """The name of the user, and a digest of all that the kubeconfig says of it."""
        user = self._loader.current_context["context"].get("user") or "nobody"
        return f"{user} ({_digest(self.section('users', 'user'))})"

    def token(self) -> Token | None:
        """:raises ConfigurationError: the user's way to prove itself is not one of those that Kubernetes still has."""
        user = self.section("users", "user")
        kind, _, value = str(getattr(self._loader, "token", None) or "").partition(" ")
        if value and kind.lower() != "bearer":
            raise ConfigurationError(
                "The kubeconfig gives a user name and a password, which no supported Kubernetes takes.",
                advice="Use a token, a client certificate or an `exec` plugin.",
            )
        if not value and "exec" in user and self.certificate() is None:
            raise ClusterError(
                f"The `exec` plugin {user['exec'].get('command')!r} of the kubeconfig gave no credential.",
                advice="Run it by hand as the user that runs Airflow. Is it installed where worker, triggerer and API"
                " server run?",
            )
        return Token(value.strip(), self._end(user)) if value else None

    def _end(self, user: Mapping[str, Any]) -> float:
        expiry = getattr(self._loader, "expiry", None)
        if expiry is not None:
            return float(expiry.timestamp())
        return _soon() if user.get("tokenFile") and not user.get("token") else float("inf")


_FORM = "It is the content of a kubeconfig, as JSON or YAML."


def _soon() -> float:
    import time

    return time.time() + REREAD


def _none(context: str | None) -> Token:
    raise ClusterError(
        f"The kubeconfig has no token any more for the context {context or 'that is current'}.",
        advice="Was the kubeconfig changed? Correct it, or the connection that names it.",
    )


@contextmanager
def _understood(conn_id: str) -> Iterator[None]:
    """What loading raises, as an error that names the connection.

    :raises ConnectionError_: the kubeconfig cannot be used.
    """
    import yaml
    from kubernetes.config import ConfigException

    try:
        yield
    except (ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
        kind = type(error).__name__
        told = "is not YAML" if isinstance(error, yaml.YAMLError) else f"cannot be used: {kind}: {error}"
        raise ConnectionError_(
            f"The kubeconfig of the connection `{conn_id}` {told}",
            advice="Correct `kube_config_path`, `kube_config` or `cluster_context` of that connection.",
        ) from None


def _true(value: Any) -> bool:
    """JSON gives a boolean, a connection URI gives text."""
    return value.strip().lower() not in ("", "false", "0", "no") if isinstance(value, str) else bool(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
