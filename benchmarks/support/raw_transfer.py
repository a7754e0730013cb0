"""The least that moves files to and from Cloud Storage: 16 threads, a kept connection each, one request a file.

Nothing is hashed, checked or tried again.
"""

from __future__ import annotations

import http.client
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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

        self._all(send, files)

    def download(self, files: Sequence[tuple[str, Path]]) -> None:
        def receive(connection: http.client.HTTPConnection, name: str, path: Path) -> None:
            connection.request("GET", f"/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}?alt=media")
            reply = connection.getresponse()
            assert reply.status == 200, reply.status
            block = memoryview(bytearray(BLOCK))
            with path.open("wb", buffering=0) as sink:
                while length := reply.readinto(block):
                    sink.write(block[:length])

        self._all(receive, files)

    def _all(
        self,
        work: Callable[[http.client.HTTPConnection, str, Path], None],
        files: Sequence[tuple[str, Path]],
    ) -> None:
        def one(file: tuple[str, Path]) -> None:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = http.client.HTTPConnection(self._host, blocksize=BLOCK)
            work(connection, *file)
            self._idle.put(connection)

        largest_first = sorted(files, key=lambda file: -file[1].stat().st_size if file[1].exists() else 0)
        with ThreadPoolExecutor(min(THREADS, len(files))) as pool:
            list(pool.map(one, largest_first))
