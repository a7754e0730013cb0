"""The clients that the provider uses, through the kubeconfig that the server writes."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from pathlib import Path

import pytest
from kube import KubeServer
from kube.cluster import eventually, job


@pytest.fixture
def connection(server: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = server.kubeconfig(tmp_path / "kubeconfig")
    extra = {"kube_config_path": str(path), "namespace": "default"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOPBACK", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    return "loopback"


def test_airflows_hook(connection: str) -> None:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    hook = KubernetesHook(conn_id=connection)
    hook.batch_v1_client.create_namespaced_job("default", job("hooked", "print('hello')"))
    done = hook.wait_until_job_complete("hooked", "default", job_poll_interval=0.1)
    assert hook.is_job_successful(done)
    listed = hook.get_namespaced_pod_list(label_selector="job-name=hooked", namespace="default")
    (pod,) = json.loads(listed.data)["items"]
    assert pod["status"]["phase"] == "Succeeded"


def test_the_asynchronous_client(server: KubeServer, tmp_path: Path) -> None:
    from kubernetes_asyncio import client, config, watch

    async def seen() -> list[str]:
        await config.load_kube_config(str(server.kubeconfig(tmp_path / "kubeconfig")), client_configuration=settings)
        async with client.ApiClient(settings) as api:
            batch = client.BatchV1Api(api)
            since = (await batch.list_namespaced_job("default")).metadata.resource_version
            await batch.create_namespaced_job("default", job("async", "pass"))
            kinds = []
            async with watch.Watch() as stream:
                async for event in stream.stream(
                    batch.list_namespaced_job, "default", resource_version=since, timeout_seconds=20
                ):
                    kinds.append(event["type"])
                    if any(one["type"] == "Complete" for one in event["raw_object"]["status"].get("conditions", [])):
                        stream.stop()
        await asyncio.to_thread(eventually, lambda: server.requests.open_watches == 0)
        await asyncio.sleep(0.2)  # aiohttp closes TLS connections in the background
        return kinds

    settings = client.Configuration()
    phases = asyncio.run(seen())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # a TLS connection that aiohttp had not closed by then must not count as a later test's
    assert phases[0] == "ADDED"
    assert "MODIFIED" in phases
