"""Any cluster through an Airflow connection of type ``kubernetes``: its kubeconfig, or the pod that we run in.

The extras are those of Airflow's own hook. What differs: nothing is set for the whole process, and the pod's own
cluster is taken only where the connection says ``in_cluster``. An Airflow worker usually runs in a
cluster too, and a job must never go there because a kubeconfig was not found (contract P9).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.hooks.kubeconfig import Kubeconfig, digest, soon
from airflow_provider_kinetic.model.errors import ConfigurationError, ConnectionError_

DEFAULT_CONN_ID = "kubernetes_default"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds token, authority and namespace of its service account."""
_POD = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
"""Set in every pod."""
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
        pod = [os.environ.get(name) for name in _POD] + [str(self.service_account)]
        key = (os.getpid(), self.kubernetes_conn_id, digest([self.extras, self._kubeconfig.stamp(), pod]))
        with _reading.setdefault(key, threading.Lock()):
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

    @property
    def _kubeconfig(self) -> Kubeconfig:
        return Kubeconfig(self.kubernetes_conn_id, self.extras.get("kube_config_path"), self.extras.get("kube_config"))

    def _read(self) -> Access:
        given = [name for name in _SOURCES if _true(self.extras.get(name))]
        if len(given) > 1:
            raise ConnectionError_(
                f"The connection `{self.kubernetes_conn_id}` says both {' and '.join(f'`{name}`' for name in given)}.",
                advice="Leave one of them: only one can be meant.",
            )
        if given == ["in_cluster"]:
            return in_cluster(self.service_account, os.environ)
        verify = not _true(self.extras.get("disable_verify_ssl"))
        return self._kubeconfig.access(self.extras.get("cluster_context"), verify=verify)


_known: dict[tuple[int, str, str], Access] = {}
_reading: dict[tuple[int, str, str], threading.Lock] = {}
"""One lock for each: an `exec` plugin may take its time."""


def in_cluster(folder: Path, environ: Mapping[str, str]) -> Access:
    """The cluster of the pod that we run in. Its token is read again every minute."""
    host, port = (environ.get(name) for name in _POD)
    if not host or not port:
        raise ConfigurationError(
            "The connection says `in_cluster`, but this process does not run in a pod of a cluster.",
            advice="Give the connection a `kube_config_path` or a `kube_config`. Worker, triggerer and API server all"
            " need to reach the cluster.",
        )

    def fetch() -> Token:
        return Token(_read_file(folder / "token").strip(), soon())

    namespace = _read_file(folder / "namespace").strip()
    address = f"[{host}]" if ":" in host else host
    return Access(
        server=f"https://{address}:{port}",
        identity=f"service account of the pod in {namespace} ({digest(str(folder))})",
        authority=_read_file(folder / "ca.crt"),
        tokens=TokenSource(fetch),
    )


def _read_file(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConnectionError_(
            f"The connection says `in_cluster`, but the pod has no service account: {path}: {error.strerror}",
            advice="Set automountServiceAccountToken of Airflow's pods, or give the connection a kubeconfig.",
        ) from error


def _true(value: Any) -> bool:
    """JSON gives a boolean, a connection URI gives text."""
    return value.strip().lower() not in ("", "false", "0", "no") if isinstance(value, str) else bool(value)
