"""Cloud Storage as far as an upload needs it, in a process of its own and as cheap as possible.

Bytes are counted, summed (CRC32C) and forgotten, so on a machine with few cores it is the client that is measured.
The tests' server (``tests/support/gcs_server.py``) keeps objects and knows the rules; it costs more than a fast client.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from urllib.parse import parse_qsl, urlsplit

import google_crc32c
from support.beside import beside

_BUFFER = 1 << 20
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class _Uploads:
    """Resumable uploads by id: name, size so far, checksum so far."""

    def __init__(self) -> None:
        self.open: dict[str, list[object]] = {}
        self.objects: dict[str, tuple[int, str]] = {}


class _Exchange(asyncio.BufferedProtocol):
    """One connection: a request at a time; bodies of chunks are never kept."""

    def __init__(self, uploads: _Uploads) -> None:
        self._uploads = uploads
        self._buffer = bytearray(_BUFFER)
        self._have = 0
        self._left = -1  # of a chunk that is being received; -1: a head is expected
        self._upload: list[object] = []
        self._total: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, _: int) -> memoryview:
        if self._left >= 0:
            return memoryview(self._buffer)[: max(1, min(self._left, _BUFFER))]
        if self._have == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        return memoryview(self._buffer)[self._have :]

    def buffer_updated(self, count: int) -> None:
        if self._left >= 0:
            self._chunk(memoryview(self._buffer)[:count])
            return
        self._have += count
        end = self._buffer.find(b"\r\n\r\n", 0, self._have)
        if end >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
            self._request(*lines[0].split(" ")[:2], headers, end + 4)

    def _request(self, method: str, target: str, headers: dict[str, str], start: int) -> None:
        size, parts = int(headers.get("content-length", 0)), urlsplit(target)
        query, body = dict(parse_qsl(parts.query)), self._buffer[start : self._have]
        if method == "PUT":
            self._begin_chunk(query["upload_id"], headers["content-range"], size, bytes(body))
        elif method == "GET":  # the library looks where the bucket lies
            self._have = 0
            self._reply("200 OK", b'{"name": "bench", "location": "US"}', "Content-Type: application/json\r\n")
        elif len(body) >= size:
            self._have = 0
            self._post(parts.path, query, headers, bytes(body[:size]))

    def _post(self, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        if query.get("uploadType") == "resumable":
            key = f"{len(self._uploads.open)}"
            self._uploads.open[key] = [json.loads(body)["name"], 0, 0]
            self._reply(
                "200 OK", b"", f"Location: http://{headers['host']}{path}?uploadType=resumable&upload_id={key}\r\n"
            )
            return
        boundary = re.search(r'boundary="?([^";]+)', headers["content-type"])[1].encode()  # type: ignore[index]
        _, first, rest = body.split(b"--" + boundary, 2)
        attributes = json.loads(first.partition(b"\r\n\r\n")[2])
        data = rest.partition(b"\r\n\r\n")[2][: -len(boundary) - 6 - (2 if body.endswith(b"\r\n") else 0)]
        self._done(attributes["name"], len(data), google_crc32c.value(data))

    def _begin_chunk(self, key: str, content_range: str, size: int, rest: bytes) -> None:
        self._upload = self._uploads.open[key]
        found = _RANGE.fullmatch(content_range)
        assert found is not None, content_range
        self._total = None if found[3] == "*" else int(found[3])
        self._have, self._left = 0, size
        self._chunk(memoryview(rest))

    def _chunk(self, data: memoryview) -> None:
        name, size, checksum = self._upload
        self._left -= len(data)
        size += len(data)  # type: ignore[operator]
        self._upload[1:] = [size, google_crc32c.extend(checksum, bytes(data))]
        if self._left:
            return
        self._left = -1
        if size == self._total:
            self._done(str(name), size, self._upload[2])  # type: ignore[arg-type]
        else:
            self._reply("308 Resume Incomplete", b"", f"Range: bytes=0-{size - 1}\r\n")  # type: ignore[operator]

    def _done(self, name: str, size: int, checksum: int) -> None:
        crc32c = base64.b64encode(checksum.to_bytes(4, "big")).decode()
        self._uploads.objects[name] = (size, crc32c)
        answer = {"name": name, "bucket": "bench", "size": str(size), "crc32c": crc32c, "generation": "1"}
        self._reply("200 OK", json.dumps(answer).encode(), "Content-Type: application/json\r\n")

    def _reply(self, status: str, body: bytes, headers: str) -> None:
        head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)  # type: ignore[attr-defined]


def _serve(control: Connection) -> None:
    async def run() -> None:
        uploads = _Uploads()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Exchange(uploads), "127.0.0.1", 0, backlog=256)
        control.send(server.sockets[0].getsockname()[1])
        while await loop.run_in_executor(None, control.recv) == "objects":
            control.send(uploads.objects)
            uploads.objects = {}

    asyncio.run(run())


class UploadServer:
    def __init__(self, port: int, control: Connection) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._control = control

    def objects(self) -> dict[str, tuple[int, str]]:
        """Name to size and CRC32C of what came since the last call."""
        self._control.send("objects")
        return self._control.recv()  # type: ignore[no-any-return]


@contextmanager
def upload_server() -> Iterator[UploadServer]:
    with beside(_serve, "upload server") as ours:
        yield UploadServer(ours.recv(), ours)
