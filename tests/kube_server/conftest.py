"""A cluster to assert against: the loopback server, or with ``-m cluster`` the real one, for what is the API's own.

Files named ``test_api_*`` use only clients and ``cluster``, so they say the same of a real cluster; all others ask the
server for faults and look inside.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kube import KubeServer
from kube import cluster as seen
from kube.cluster import Cluster, eventually
from kubernetes import client, config
from real_cluster import PATIENCE, RealCluster


@pytest.fixture
def server() -> Iterator[KubeServer]:
    with KubeServer(bookmark_every=0.3) as started:
        yield started


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> RealCluster | None:
    found = RealCluster.chosen(request.config)
    if found:
        seen.IMAGE, seen.PATIENCE = found.image, PATIENCE
    return found


@pytest.fixture
def cluster(request: pytest.FixtureRequest, real: RealCluster | None, tmp_path: Path) -> Iterator[Cluster]:
    path = real.kubeconfig if real else request.getfixturevalue("server").kubeconfig(tmp_path / "kubeconfig")
    with config.new_client_from_config(str(path)) as api:
        namespace = f"kinetic-test-{uuid.uuid4().hex[:8]}"
        core = client.CoreV1Api(api)
        core.create_namespace({"metadata": {"name": namespace}})
        eventually(lambda: core.list_namespaced_service_account(namespace).items)
        yield Cluster(api, namespace)
        if real:
            core.delete_namespace(namespace)


@pytest.fixture
def connect(server: KubeServer, tmp_path: Path) -> Iterator[Callable[[str], Cluster]]:
    """A client with a token, in the namespace ``default``."""
    opened: list[client.ApiClient] = []

    def connected(token: str) -> Cluster:
        path = server.kubeconfig(tmp_path / f"kubeconfig-{len(opened)}", token=token)
        opened.append(config.new_client_from_config(str(path)))
        return Cluster(opened[-1], "default")

    yield connected
    for each in opened:
        each.close()
