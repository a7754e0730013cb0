"""Objects in Cloud Storage as the job sees them, with the standard library alone.

A create-only write carries a mark of its own, so that it knows its object again when only the answer was lost. What
is read is compared with its digest: CRC-32C where the image has that in C, else MD5, which composed objects lack
(payload, context and runner have a SHA-256 of their own).
"""

from __future__ import annotations

import base64
import calendar
import functools
import gzip
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_kinetic.job.gcs_http import BLOCK, FAILURES, Backoff, GcsError, Reply, Session
from airflow_provider_kinetic.job.storage import Entry, ObjectDamaged, ObjectExists, ObjectMissing

MARK = "kinetic-write"
"""Custom metadata of objects that were made create-only: which call made them."""
RESUMABLE = 8 << 20
"""Bytes from which on an upload can be continued."""
NO_STORE = {"cacheControl": "no-store"}
_BOUNDARY = "kinetic-4f1c5b0e9d7a"
_TRIES = 5
_FACTS = "name,size,updated"

Send = Callable[["dict[str, Any]", "dict[str, str]"], Reply]


@functools.lru_cache(maxsize=1)
def storage() -> GcsStorage:
    """One for the process: connections and token are shared."""
    return GcsStorage(Session(os.environ))


class GcsStorage:
    """Objects by ``gs://`` URI. Names are kept as they are: nothing in such a URI is escaped."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def open(self, uri: str) -> BinaryIO:
        """What was stored compressed (``Content-Encoding: gzip``) is read as it was before, as other clients do."""
        download = Download(self._session, uri)
        stream = io.BufferedReader(download, BLOCK)
        return cast(BinaryIO, Unzipped(stream) if download.zipped else stream)

    def read(self, uri: str) -> bytes:
        """A second time when what came was damaged."""
        try:
            return self._read(uri)
        except ObjectDamaged:
            return self._read(uri)

    def _read(self, uri: str) -> bytes:
        with self.open(uri) as stream:
            return stream.read()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        """No cache on the way may keep it: records are looked at for what they say now (``checkpointing`` 3.3)."""

        def send(attributes: dict[str, Any], query: dict[str, str]) -> Reply:
            target = _uploads(uri, {"uploadType": "multipart", **query})
            content_type = {"Content-Type": f"multipart/related; boundary={_BOUNDARY}"}
            body = _multipart({**attributes, **NO_STORE}, data)
            return self._session.request("POST", target, body=body, headers=content_type)

        self._put(uri, hashlib.md5(data, usedforsecurity=False).digest(), if_absent, send)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        """Large files are sent in one stream that is continued where it broke off."""
        size = path.stat().st_size
        if size <= RESUMABLE:
            self.write(uri, path.read_bytes(), if_absent=if_absent)
            return

        def send(attributes: dict[str, Any], query: dict[str, str]) -> Reply:
            return Upload(self._session, path, size, uri).run(attributes, query)

        self._put(uri, _md5(path), if_absent, send)

    def list(self, prefix: str) -> list[str]:
        bucket = _split(prefix)[0]
        return [f"gs://{bucket}/{item['name']}" for item in self._items(prefix, "name", {})]

    def entry(self, uri: str) -> Entry | None:
        reply = self._session.request("GET", _object(uri, {"fields": _FACTS}))
        if reply.status == 404 and not _bucket_missing(reply):
            return None
        if reply.status != 200:
            raise _error("look at", uri, reply)
        return _entry(uri, uri.rpartition("/")[2], json.loads(reply.data))

    def tree(self, folder: str, *, numbered: bool = False) -> Iterator[Entry]:
        prefix = f"{folder}/"
        bucket, stem = _split(prefix)
        between = {"startOffset": f"{stem}0", "endOffset": f"{stem}:"} if numbered else {}  # ":" comes behind "9"
        for item in self._items(prefix, _FACTS, between):
            yield _entry(f"gs://{bucket}/{item['name']}", item["name"][len(stem) :], item)

    def _items(self, prefix: str, fields: str, more: dict[str, str]) -> Iterator[dict[str, Any]]:
        bucket, stem = _split(prefix)
        query = {"prefix": stem, "fields": f"items({fields}),nextPageToken", **more}
        while True:
            reply = self._session.request("GET", f"/storage/v1/b/{quote(bucket)}/o?{urlencode(query)}")
            if reply.status != 200:
                raise _error("list", prefix, reply)
            page = json.loads(reply.data)
            yield from page.get("items", [])
            if "nextPageToken" not in page:
                return
            turn(query, "pageToken", page["nextPageToken"], prefix)

    def _put(self, uri: str, md5: bytes, if_absent: bool, send: Send) -> None:
        mark = os.urandom(16).hex()
        attributes: dict[str, Any] = {"name": _split(uri)[1], "md5Hash": base64.b64encode(md5).decode()}
        if if_absent:
            attributes["metadata"] = {MARK: mark}
        for _ in range(_TRIES):
            reply = send(attributes, {"ifGenerationMatch": "0"} if if_absent else {})
            if reply.status in (200, 201):
                return
            if reply.status != 412:
                raise _error("write", uri, reply)
            found = self._mark(uri)
            if found == mark:
                return  # an earlier try arrived and its answer was lost
            if found is not None:
                break
        raise ObjectExists(uri)

    def _mark(self, uri: str) -> str | None:
        """Which call made this object; empty when it is not known, None when there is no object."""
        reply = self._session.request("GET", _object(uri, {"fields": "metadata"}))
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise _error("look at", uri, reply)
        return str(json.loads(reply.data).get("metadata", {}).get(MARK, ""))


class Corrupt(GcsError, ObjectDamaged):
    """The digest of what arrived is not the object's."""


class _Digest:
    """The object's own digest, beside that of what arrives: CRC-32C where the image has it in C, else MD5.

    A composed object has no MD5. CRC-32C in plain Python would be slower than the network, so then its size must do.
    """

    def __init__(self, header: str) -> None:
        known = dict(re.findall(r"(\w+)=([^,\s]+)", header))
        make = _crc32c() if "crc32c" in known else None
        self.name = "CRC-32C" if make else "MD5"
        self._expected = known.get("crc32c" if make else "md5")
        self._sum: Any = make() if make else hashlib.md5(usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        self._sum.update(data if self.name == "MD5" else bytes(data))

    def check(self, uri: str) -> None:
        """:raises Corrupt: the two differ."""
        found = base64.b64encode(self._sum.digest()).decode()
        if self._expected not in (None, found):
            raise Corrupt(f"Cannot read {uri}: what arrived has the {self.name} {found}, the object {self._expected}")


@functools.lru_cache(maxsize=1)
def _crc32c() -> Callable[[], Any] | None:
    """Makes checksums; None where there are no fast ones."""
    try:
        import google_crc32c
    except ImportError:
        return None
    return google_crc32c.Checksum if google_crc32c.implementation == "c" else None


class Unzipped(gzip.GzipFile):
    """The text of a compressed stream, which is closed with it."""

    def __init__(self, stream: BinaryIO | io.BufferedReader) -> None:
        super().__init__(fileobj=stream)
        self._stream = stream

    def close(self) -> None:
        super().close()
        self._stream.close()


class Download(io.RawIOBase):
    """The bytes of one generation; continued where the connection broke, checked at the end.

    :raises ObjectMissing: there is none.
    :raises Corrupt: at the end, when the digest differs.
    """

    def __init__(self, session: Session, uri: str) -> None:
        self._session = session
        self._uri = uri
        self._query = {"alt": "media"}
        self._at = 0
        self._reply = self._request()
        self._size = int(self._reply.headers["Content-Length"])
        self.zipped = self._reply.headers.get("Content-Encoding") == "gzip"
        self._digest = _Digest(self._reply.headers.get("X-Goog-Hash", ""))
        self._query["generation"] = self._reply.headers["X-Goog-Generation"]

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if not len(view):
            return 0
        for _ in range(_TRIES):
            count = self._receive(view)
            if count:
                self._at += count
                self._digest.update(view[:count])
                return count
            if self._at == self._size:
                self._digest.check(self._uri)
                return 0
            self._reply.close()
            self._reply = self._request()
        raise GcsError(f"Cannot read {self._uri}: the connection broke off {_TRIES} times after {self._at} bytes")

    def close(self) -> None:
        if not self.closed:
            self._reply.close()
        super().close()

    def _receive(self, view: memoryview) -> int:
        try:
            return self._reply.readinto(view)
        except FAILURES:
            return 0

    def _request(self) -> Reply:
        headers = {"Accept-Encoding": "gzip"}  # else compressed objects come without size, digest and ranges
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
        reply = self._session.request("GET", _object(self._uri, self._query), headers=headers, streamed=True)
        if reply.status == 404 and not _bucket_missing(reply):
            raise ObjectMissing(self._uri)
        if reply.status != (206 if self._at else 200):
            raise _error("read", self._uri, reply)
        return reply


class Upload:
    """A resumable upload of one file."""

    def __init__(self, session: Session, path: Path, size: int, uri: str) -> None:
        self._session = session
        self._path = path
        self._size = size
        self._uri = uri

    def run(self, attributes: dict[str, Any], query: dict[str, str]) -> Reply:
        """The last answer: the object, or why there is none. The patience is for a stretch without progress."""
        backoff = Backoff(self._session.patience)
        place, offset, furthest = "", 0, 0
        while True:
            if not place:
                started = self._start(attributes, query)
                if started.status != 200:
                    return started
                parts = urlsplit(started.headers["Location"])
                place, offset = f"{parts.path}?{parts.query}", 0
            reply = self._send(place, offset) or self._state(place)
            if reply.status in (404, 410):  # the session is gone
                place = ""
            elif reply.status == 308:
                offset = _persisted(reply)
                if offset > furthest:  # a bad line may break off as often as it likes while it gets on
                    furthest, backoff = offset, Backoff(self._session.patience)
            else:
                return reply
            if not backoff.wait():
                raise GcsError(
                    f"Cannot write {self._uri}: the upload broke off again and again, last at {offset} bytes"
                )

    def _start(self, attributes: dict[str, Any], query: dict[str, str]) -> Reply:
        target = _uploads(self._uri, {"uploadType": "resumable", **query})
        headers = {"Content-Type": "application/json", "X-Upload-Content-Length": str(self._size)}
        return self._session.request("POST", target, body=json.dumps(attributes).encode(), headers=headers)

    def _send(self, place: str, offset: int) -> Reply | None:
        """The rest of the file in one request; None when it is not known how far it came."""
        headers = {
            "Content-Length": str(self._size - offset),
            "Content-Range": f"bytes {offset}-{self._size - 1}/{self._size}",
        }

        def rest() -> BinaryIO:
            stream = self._path.open("rb")
            stream.seek(offset)
            return stream

        try:
            reply = self._session.once("PUT", place, rest, headers).finish()
        except GcsError:
            raise
        except FAILURES:
            return None
        return None if reply.status in (401, 408, 429) or reply.status >= 500 else reply

    def _state(self, place: str) -> Reply:
        return self._session.request("PUT", place, headers={"Content-Range": f"bytes */{self._size}"})


def turn(query: dict[str, str], name: str, token: str, uri: str) -> None:
    """To the next page. :raises GcsError: it is the same again, and would be for ever."""
    if query.get(name) == token:
        raise GcsError(f"Cannot go on with {uri}: the service gave the same {name} twice")
    query[name] = token


def _split(uri: str) -> tuple[str, str]:
    bucket, _, name = uri[len("gs://") :].partition("/")
    return bucket, name


def _object(uri: str, query: dict[str, str]) -> str:
    bucket, name = _split(uri)
    return f"/storage/v1/b/{quote(bucket)}/o/{quote(name, safe='')}?{urlencode(query)}"


def _entry(uri: str, name: str, item: dict[str, Any]) -> Entry:
    return Entry(uri, name, int(item["size"]), _nanoseconds(item["updated"]))


def _nanoseconds(stamp: str) -> int:
    """Of ``2026-09-01T08:00:00.123Z``: cheaper than ``datetime`` for some hundred thousand objects."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int(fraction.ljust(9, "0")[:9])


def _uploads(uri: str, query: dict[str, str]) -> str:
    return f"/upload/storage/v1/b/{quote(_split(uri)[0])}/o?{urlencode(query)}"


def _multipart(attributes: dict[str, Any], data: bytes) -> bytes:
    boundary = _BOUNDARY.encode()
    head = b"Content-Type: application/json; charset=UTF-8\r\n\r\n" + json.dumps(attributes).encode()
    kind = b"Content-Type: application/octet-stream\r\n\r\n"
    return b"--%b\r\n%b\r\n--%b\r\n%b%b\r\n--%b--\r\n" % (boundary, head, boundary, kind, data, boundary)


def _md5(path: Path) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while True:
            block = stream.read(BLOCK)
            if not block:
                return digest.digest()
            digest.update(block)


def _persisted(reply: Reply) -> int:
    """Of a 308: how many bytes have arrived."""
    found = re.fullmatch(r"bytes=0-(\d+)", reply.headers.get("Range", ""))
    return int(found[1]) + 1 if found else 0


def _bucket_missing(reply: Reply) -> bool:
    """The service tells so in words only."""
    return b"bucket does not exist" in reply.data


def _error(verb: str, uri: str, reply: Reply) -> GcsError:
    text = reply.data.decode("utf-8", "replace")
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:500]
    advice = ""
    if reply.status == 403:
        advice = ". Grant the job's identity Storage Object User (roles/storage.objectUser) on the bucket"
        if verb != "write":
            advice += ", or Storage Object Viewer where it only reads"
    return GcsError(f"Cannot {verb} {uri}: Cloud Storage answered {reply.status}: {text}{advice}")
