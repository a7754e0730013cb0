"""The least that moves files to and from Cloud Storage: 16 threads, a kept connection each.

A file is sent in one request and fetched in parts. Nothing is hashed, checked or tried again.
"""

from __future__ import annotations

import http.client
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

THREADS = 16
BLOCK = 1 << 20


class RawTransfer:
    """Connections stay open from one call to the next."""

    def __init__(self, url: str, bucket: str) -> None:
        self._host = urlsplit(url).netloc
        self._bucket = bucket
        self._idle: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()

    def upload(self, files: Sequence[tuple[str, Path]]) -> None:
        def send(connection: http.client.HTTPConnection, name: str, path: Path) -> None:
            target = f"/upload/storage/v1/b/{self._bucket}/o?uploadType=media&name={quote(name, safe='')}"
            with path.open("rb") as stream:
                connection.request("POST", target, stream, {"Content-Length": str(path.stat().st_size)})
                reply = connection.getresponse()
            reply.read()
            assert reply.status == 200, reply.status

        self._all(send, sorted(files, key=lambda file: -file[1].stat().st_size))

    def download(self, files: Sequence[tuple[str, Path, int]], part: int) -> None:
        """In parts of so many bytes, into files of known sizes."""

        def receive(connection: http.client.HTTPConnection, name: str, path: Path, start: int) -> None:
            target = f"/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}?alt=media"
            connection.request("GET", target, headers={"Range": f"bytes={start}-{start + part - 1}"})
            reply = connection.getresponse()
            assert reply.status == 206, reply.status
            block = memoryview(bytearray(BLOCK))
            sink = os.open(path, os.O_WRONLY | os.O_CREAT)
            while length := reply.readinto(block):
                start += os.pwrite(sink, block[:length], start)
            os.close(sink)

        parts = [(size - start, (name, path, start)) for name, path, size in files for start in range(0, size, part)]
        self._all(receive, [each for _, each in sorted(parts, reverse=True)])

    def _all(self, work: Callable[..., None], items: Sequence[tuple[Any, ...]]) -> None:
        def one(item: tuple[Any, ...]) -> None:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = http.client.HTTPConnection(self._host, blocksize=BLOCK)
            work(connection, *item)
            self._idle.put(connection)

        with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
            list(pool.map(one, items))
