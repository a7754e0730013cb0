"""The tests' Cloud Storage in a process of its own, with a round trip and a bandwidth that a network would have.

It keeps objects, because checkpoints are read back, and does as little else as it can: of contents it makes a CRC32C
(12 GB/s) and no MD5, as for composed objects, and keeps the large ones in memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))

from gcs_objects import Bucket, Content, StoredObject
from gcs_server import Exchange, GcsServer
from support.beside import beside

BUCKET = "bench"
MEMORY = "/dev/shm"
STRIDE = 1 << 18
"""Bytes between two looks at the clock."""


class Counts(NamedTuple):
    """Since the last time that they were asked for."""

    requests: list[tuple[str, float]]
    """Kinds, and when each came (``time.monotonic``), in the order of their answers."""
    bytes_in: int
    """Of contents."""
    connections: int
    """New ones."""


class _Shallow(Bucket):
    def insert(self, *args: Any, composed: bool = True) -> StoredObject:  # noqa: ARG002
        return super().insert(*args, composed=True)


class _Server(GcsServer):
    bytes_in = 0
    rate = 0.0
    """Bytes a second that one connection carries; 0: as many as it can."""

    def __init__(self) -> None:
        super().__init__()
        self.buckets = {BUCKET: _Shallow(BUCKET)}
        self._http.RequestHandlerClass = partial(_Exchange, self)  # type: ignore[assignment]


class _Exchange(Exchange):
    """It shares the processors with those who are measured, so contents go from file to socket inside the kernel."""

    def receive(self, content: Content) -> None:
        before, pace = self.unread, _Pace(self.cloud.rate)
        while self.unread:
            data = self.rfile.read(min(self.unread, STRIDE))
            content.append(data)
            self.unread -= len(data)
            pace.after(before - self.unread)
        self.cloud.bytes_in += before

    def _send_content(self, status: int, headers: Mapping[str, str], found: StoredObject, start: int, end: int) -> None:
        self.send_head(status, {**headers, "Content-Length": str(end - start)})
        pace, at, file = _Pace(self.cloud.rate), start, found.content._file
        if file < 0:
            self.wfile.write(b"".join(found.content.pieces(start, end)))
            return
        self.wfile.flush()
        while at < end:
            at += os.sendfile(self.connection.fileno(), file, at, min(STRIDE, end - at))
            pace.after(at - start)


class _Pace:
    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._begun = time.monotonic()

    def after(self, count: int) -> None:
        if self._rate:
            time.sleep(max(0.0, self._begun + count / self._rate - time.monotonic()))


def _serve(control: Connection) -> None:
    if Path(MEMORY).is_dir():
        tempfile.tempdir = MEMORY
    with _Server() as server:
        control.send(server.url)
        while True:
            what, *values = control.recv()
            if what == "slow":
                server.faults.latency, server.rate = values
            elif what == "clear":
                server.buckets[BUCKET] = _Shallow(BUCKET)
            else:
                served = [(each.kind, each.at) for each in server.faults.served]
                control.send((Counts(served, server.bytes_in, server.connections), server.unknown))
                server.faults.served.clear()
                server.bytes_in = server.connections = 0
                continue
            control.send(None)


class ObjectServer:
    def __init__(self, url: str, control: Connection) -> None:
        self.url = url
        self._control = control

    def slow(self, latency: float = 0.0, rate: float = 0.0) -> None:
        """From now on. ``latency``: seconds before every answer; ``rate``: bytes a second of one connection."""
        self._ask("slow", latency, rate)

    def clear(self) -> None:
        """No objects."""
        self._ask("clear")

    def counts(self) -> Counts:
        counts, unknown = self._ask("counts")
        assert not unknown, unknown
        return counts  # type: ignore[no-any-return]

    def _ask(self, *what: object) -> Any:
        self._control.send(what)
        return self._control.recv()


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    with beside(_serve, "object server") as ours:
        yield ObjectServer(ours.recv(), ours)
