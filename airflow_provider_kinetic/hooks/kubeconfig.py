"""A kubeconfig as plain values: what ``kubectl`` would do with it, and nothing set for the whole process.

The ``kubernetes`` package reads it: merged files, contexts, relative paths, ``exec`` plugins, OIDC.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, ConnectionError_

if TYPE_CHECKING:
    from kubernetes.config.kube_config import KubeConfigLoader

REREAD = 60.0
"""Seconds after which a token in a file is read again: the kubelet replaces it long before its end."""

PATIENCE = 60.0
"""Seconds that a plugin has for a credential: until then everybody who needs the token waits for it."""


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig: a path (or several, as in ``KUBECONFIG``), or its content; without both the default one.

    ``conn_id`` is the connection that names it, for messages.
    """

    conn_id: str
    path: str | None = None
    content: str | dict[str, Any] | None = None

    @property
    def paths(self) -> list[str]:
        """Where it is read from; those that do not exist are passed over."""
        if self.content is not None:
            return []
        given = self.path or os.environ.get("KUBECONFIG") or "~/.kube/config"
        return [os.path.expanduser(path) for path in given.split(os.pathsep) if path]  # noqa: PTH111 (as kubectl does)

    def stamp(self) -> str:
        """Another one when it has changed."""
        found = [(path, Path(path).stat()) for path in self.paths if Path(path).exists()]
        return digest([self.content, [(path, stat.st_mtime_ns, stat.st_size) for path, stat in found]])

    def access(self, context: str | None = None, *, verify: bool = True) -> Access:
        """What the context says, the current one where none is named.

        :raises ConnectionError_: it cannot be used.
        """
        loaded = self._load(context)
        cluster = loaded.section("clusters", "cluster")
        if cluster.get("tls-server-name"):
            raise ConfigurationError(
                "The kubeconfig says `tls-server-name`, which is not honoured.",
                advice="Use an address of the API server that its certificate names.",
            )
        first = loaded.token()
        waiting = [first] if first else []  # an `exec` plugin has just run: not again for the first request

        def fetch() -> Token:
            token = waiting.pop() if waiting else None
            if token is None or token.expires <= time.time():
                token = self._load(context).token()
            return token or _none(context)

        return Access(
            server=loaded.server(),
            identity=loaded.identity(),
            authority=loaded.authority(),
            verify=verify and not cluster.get("insecure-skip-tls-verify"),
            client_certificate=loaded.certificate(),
            proxy=cluster.get("proxy-url"),
            tokens=TokenSource(fetch) if first else None,
        )

    def _load(self, context: str | None) -> _Loaded:
        with _understood(self.conn_id):
            return _Loaded(self._loader(context))

    def _loader(self, context: str | None) -> KubeConfigLoader:
        from kubernetes.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger

        if self.content is not None:
            return KubeConfigLoader(ConfigNode("kube-config", self._parsed()), active_context=context)
        found = KubeConfigMerger(os.pathsep.join(self.paths)).config
        if found is None:
            raise ConnectionError_(
                f"There is no kubeconfig at {' or '.join(self.paths)}, where the connection `{self.conn_id}` leads.",
                advice="Give the connection a `kube_config_path` or a `kube_config`; for the cluster that this process"
                " itself runs in, say `in_cluster`.",
            )
        return KubeConfigLoader(found, active_context=context, config_base_path=None)

    def _parsed(self) -> dict[str, Any]:
        """JSON is YAML too."""
        import yaml

        parsed = yaml.safe_load(self.content) if isinstance(self.content, str) else self.content
        if not isinstance(parsed, dict):
            raise ConnectionError_(
                f"The `kube_config` of the connection `{self.conn_id}` is no kubeconfig.",
                advice="It is the content of a kubeconfig, as JSON or YAML.",
            )
        return parsed


class _Loaded:
    """What a loader has found out, as plain values."""

    def __init__(self, loader: KubeConfigLoader) -> None:
        from kubernetes.client import Configuration

        self._loader = loader
        self._found = Configuration()
        try:
            _within(PATIENCE, lambda: loader.load_and_set(self._found))
        except _Hangs:
            plugin = self.section("users", "user").get("exec")
            who = f"`exec` plugin {plugin.get('command')!r}" if plugin else "login"
            raise ClusterError(
                f"The {who} of the kubeconfig gave no credential within {PATIENCE:g} s.",
                advice="Run it by hand as the user that runs Airflow, without a terminal. Does it ask for something, or"
                " wait for a server that cannot be reached?",
            ) from None

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
        """The name of the user, and a digest of all that the kubeconfig says of it, and its folder."""
        user = self._loader.current_context["context"].get("user") or "nobody"
        path = getattr(self._loader._user, "path", None)
        folder = str(Path(path).absolute().parent) if path else ""
        return f"{user} ({digest([self.section('users', 'user'), folder])})"

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
        return soon() if user.get("tokenFile") and not user.get("token") else float("inf")


class _Hangs(Exception):
    """There was no answer in time."""


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Do the work in a thread of its own, which is left behind when it takes longer.

    :raises _Hangs: it takes longer.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="kinetic-kubeconfig", daemon=True).start()
    if not wait([done], seconds).done:
        raise _Hangs
    done.result()


def soon() -> float:
    """When a token in a file is to be read again."""
    return time.time() + REREAD


def digest(value: Any) -> str:
    """Twelve hex digits that tell one JSON-able value from another."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


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
        broken = isinstance(error, yaml.YAMLError)  # whose text would quote the file, secrets included
        told = "is neither JSON nor YAML" if broken else f"cannot be used: {type(error).__name__}: {error}"
        raise ConnectionError_(
            f"The kubeconfig of the connection `{conn_id}` {told}",
            advice="Correct `kube_config_path`, `kube_config` or `cluster_context` of that connection.",
        ) from None
