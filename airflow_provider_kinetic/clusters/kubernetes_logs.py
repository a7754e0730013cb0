"""The end of a pod's output, straight from its machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import httpx

from airflow_provider_kinetic.clusters import clients
from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.kubernetes_session import Session
from airflow_provider_kinetic.model.kubernetes.job import CONTAINER
from airflow_provider_kinetic.model.kubernetes.pods import Pod

AT_MOST = 1 << 20
"""Bytes that are shown."""
_ASKED = 64 << 20
"""Bytes that are read at most: ``limitBytes`` cuts the end off, so it only guards against endless lines."""
_SILENT = (400, 404, 500)
"""The container has not started; there is no such pod any more; its machine does not answer."""


def tail(session: Session, namespace: str, pods: Sequence[Pod], lines: int) -> str:
    """Last lines of the first of ``pods`` that was started; empty where nothing of it is left."""
    chosen = next((pod for pod in pods if pod.started_at is not None), None)
    if chosen is None or lines <= 0:
        return ""
    path = paths.log(namespace, chosen.name)
    query = {"container": CONTAINER, "tailLines": str(lines), "limitBytes": str(_ASKED)}

    def send() -> httpx.Response:
        with clients.client(session.access).stream("GET", path, params=query) as answer:
            content = end_of(answer.iter_bytes(), AT_MOST)
            headers = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
            return httpx.Response(answer.status_code, headers=headers, content=content, request=answer.request)

    answer = session.insist(send, path, "get pods/log", _SILENT)
    return "" if answer.status in _SILENT else answer.response.content.decode("utf-8", "replace")


def end_of(chunks: Iterable[bytes], size: int) -> bytes:
    """The last ``size`` bytes; no more than that and one chunk is ever held."""
    kept: deque[bytes] = deque()
    held = 0
    for chunk in chunks:
        kept.append(chunk)
        held += len(chunk)
        while held - len(kept[0]) >= size:
            held -= len(kept.popleft())
    return b"".join(kept)[-size:]
