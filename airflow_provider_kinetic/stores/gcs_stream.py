"""One large file to Cloud Storage, through a resumable upload and without being held in memory.

All but the last block goes in one request; if the file is still what it was when it was listed, the last block follows
with the CRC32C of the whole. So the file is read once, and no object comes into being before all is known to be well.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_kinetic.job.gcs_http import FAILURES, Backoff, GcsError, Reply, Session
from airflow_provider_kinetic.packaging.data_read import BLOCK, OpenData
from airflow_provider_kinetic.packaging.data_tree import DataFile

Seen = Callable[[int], None]
"""Takes how far it is in the file, with every block; may raise to end it all."""

_UNKNOWN = (401, 408, 429)
"""Answers after which it has to be asked how far the upload came, as after any of 500 and more."""


def checksum_text(value: int) -> str:
    """A CRC32C in the form of the service: Base64, most significant byte first."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def checksum_of(file: DataFile, seen: Seen) -> str:
    """Of a whole file; raises as :class:`OpenData`."""
    import google_crc32c

    value = 0
    with OpenData(file) as data:
        for block in data.blocks(0, file.size):
            value = google_crc32c.extend(value, block)
            seen(0)
        data.check()
    return checksum_text(value)


class StreamedUpload:
    """The upload of one file."""

    def __init__(self, session: Session, headers: Mapping[str, str], file: DataFile, bucket: str, name: str) -> None:
        self._session = session
        self._headers = dict(headers)
        self._file = file
        self._bucket = bucket
        self._name = name
        self._last = max(0, file.size - BLOCK) // BLOCK * BLOCK
        """Where the last request begins: the service takes other ones in multiples of 256 KiB."""

    def run(self, query: Mapping[str, str], seen: Seen) -> Reply:
        """The last answer: the object, or why there is none.

        :raises GcsError: the service is away.
        """
        backoff, place, offset = Backoff(self._session.patience), "", 0
        with OpenData(self._file) as data:
            summed = _Summed(data, seen)
            while True:
                if not place:
                    started = self._start(query)
                    if started.status != 200:
                        return started
                    parts = urlsplit(started.headers["Location"])
                    place, offset = f"{parts.path}?{parts.query}", 0
                before = offset
                reply = self._send(place, offset, summed) or self._state(place)
                if reply.status in (404, 410):  # the upload is forgotten
                    place = ""
                elif reply.status != 308:
                    return reply
                else:
                    offset = _persisted(reply)
                if offset > before:
                    backoff = Backoff(self._session.patience)
                if not backoff.wait():
                    raise GcsError(f"the upload broke off again and again, last at {offset:,} bytes")

    def _start(self, query: Mapping[str, str]) -> Reply:
        target = f"/upload/storage/v1/b/{quote(self._bucket)}/o?{urlencode({'uploadType': 'resumable', **query})}"
        headers = {"Content-Type": "application/json", "X-Upload-Content-Length": str(self._file.size)}
        attributes = {"name": self._name, "contentType": "application/octet-stream"}
        body = json.dumps(attributes).encode()
        return self._session.request("POST", target, body=body, headers={**self._headers, **headers})

    def _send(self, place: str, offset: int, summed: _Summed) -> Reply | None:
        """What is left; None when it is not known how far it came."""
        summed.restart(offset)
        if offset < self._last:
            reply = self._put(place, summed.blocks(self._last), offset, self._last)
            if reply is None or reply.status != 308 or _persisted(reply) != self._last:
                return reply
            offset = self._last
        block = b"".join(summed.blocks(self._file.size))
        summed.data.check()
        return self._put(place, block, offset, self._file.size, {"X-Goog-Hash": f"crc32c={summed.text}"})

    def _put(
        self, place: str, body: bytes | Iterator[bytes], start: int, end: int, headers: Mapping[str, str] = {}
    ) -> Reply | None:
        told = {
            **self._headers,
            **headers,
            "Content-Length": str(end - start),
            "Content-Range": f"bytes {start}-{end - 1}/{self._file.size}",
        }
        try:
            reply = self._session.once("PUT", place, cast(BinaryIO, body), told).finish()
        except GcsError:
            raise
        except FAILURES:
            return None
        return None if reply.status in _UNKNOWN or reply.status >= 500 else reply

    def _state(self, place: str) -> Reply:
        headers = {**self._headers, "Content-Range": f"bytes */{self._file.size}"}
        return self._session.request("PUT", place, headers=headers)


class _Summed:
    """A file's blocks, one after the other, and their CRC32C so far."""

    def __init__(self, data: OpenData, seen: Seen) -> None:
        import google_crc32c

        self.data = data
        self._extend: Any = google_crc32c.extend
        self._seen = seen
        self._value = self._at = 0

    @property
    def text(self) -> str:
        return checksum_text(self._value)

    def restart(self, at: int) -> None:
        """The next block begins there; what has arrived before is summed again."""
        self._value = self._at = 0
        for _ in self.blocks(at):
            pass

    def blocks(self, end: int) -> Iterator[bytes]:
        for block in self.data.blocks(self._at, end):
            self._value = self._extend(self._value, block)
            self._at += len(block)
            self._seen(self._at)
            yield block


def _persisted(reply: Reply) -> int:
    """Of a 308: how many bytes have arrived."""
    found = re.fullmatch(r"bytes=0-(\d+)", reply.headers.get("Range", ""))
    return int(found[1]) + 1 if found else 0
