"""The job's own log, read back from the store.

The runner writes numbered chunks that are never rewritten (``job.logs``), so a reader needs one
cursor, the name of the last chunk it has shown: nothing is lost, nothing depends on a stream that
stays open, and the log is complete when the machine is gone (``design`` 3.11).

Jobs of upstream's client write none. Of them a reader sees the last lines that the machine still has, and
its cursor is a digest of where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.stores.base import Store

TAIL_LINES = 1000
"""What is read at once of a job that writes no chunks; more that is printed between two looks is not shown."""
_MARK = 5
"""Lines that a cursor is the digest of."""


def output_after(
    ports: Ports, handle: JobHandle, cursor: str = "", limit: int | None = None, *, last: bool = False
) -> Iterator[tuple[str, str]]:
    """Pairs of (cursor, text) behind ``cursor``, oldest first, from wherever the job writes its output.

    :param limit: of log chunks. A job that writes none has one piece of output.
    :param last: the job is over, so a last line without an end is a line.
    """
    if handle.logs is not None:
        yield from chunks_after(ports.store, handle, cursor, limit)
        return
    *ended, rest = ports.cluster.tail(handle, lines=TAIL_LINES).split("\n")
    lines = [*ended, rest] if last and rest else ended
    if new := lines[_shown(lines, cursor) :]:
        yield _mark(lines), "".join(f"{line}\n" for line in new)


def _shown(lines: Sequence[str], cursor: str) -> int:
    """How many of the lines had been shown when the cursor was made; 0 where that cannot be seen any more."""
    return next((end for end in range(len(lines), 0, -1) if _mark(lines[:end]) == cursor), 0) if cursor else 0


def _mark(lines: Sequence[str]) -> str:
    return "tail-" + hashlib.sha256("\n".join(lines[-_MARK:]).encode("utf-8", "replace")).hexdigest()[:16]


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
