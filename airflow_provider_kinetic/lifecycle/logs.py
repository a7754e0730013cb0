"""The job's own log, read back from the store.

The runner writes numbered chunks that are never rewritten (``job.logs``), so a reader needs one
cursor, the name of the last chunk it has shown: nothing is lost, nothing depends on a stream that
stays open, and the log is complete when the machine is gone (``design`` 3.11).
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.stores.base import Store


def chunks_after(
    store: Store, handle: JobHandle, cursor: str = "", limit: int | None = None
) -> Iterator[tuple[str, str]]:
    """Pairs of (cursor, text) behind ``cursor``, oldest first, at most ``limit`` of them."""
    if handle.logs is None:
        return
    after = f"{handle.logs}{cursor}" if cursor else ""
    for info in store.list(handle.logs, after=after)[:limit]:
        try:
            text = store.read(info.uri).decode("utf-8", "replace")
        except ObjectMissing:
            continue
        yield info.uri.rsplit("/", 1)[1], text


def whole_log(ports: Ports, handle: JobHandle) -> str:
    """Everything the job printed, from the store; from the machine where the store has nothing (upstream's jobs)."""
    stored = "".join(text for _, text in chunks_after(ports.store, handle))
    return stored or ports.cluster.tail(handle, lines=10_000)


def last_output(ports: Ports, handle: JobHandle, lines: int = 100) -> str:
    """The last ``lines`` lines that the job printed."""
    if handle.logs is not None:
        text = ""
        for info in reversed(ports.store.list(handle.logs)):
            text = ports.store.read(info.uri).decode("utf-8", "replace") + text
            if text.count("\n") > lines:
                break
        if text:
            return "\n".join(text.splitlines()[-lines:])
    return ports.cluster.tail(handle, lines=lines)
