"""A Cloud Storage on the loopback, for clients that honour ``STORAGE_EMULATOR_HOST``.

It exists because published emulators ignore generation preconditions, on which create-only writes rest. It is
strict: a request or parameter that it does not know is answered with 501 and remembered in ``unknown``.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from gcs_faults import Fault, Faults, Served
from gcs_objects import ApiError, Bucket, Content, Preconditions, Session, StoredObject
from gcs_wire import Dropped, Wire, content_range, parts

_BUCKET = r"/storage/v1/b/(?P<bucket>[^/]+)"
_OBJECT = _BUCKET + r"/o/(?P<name>[^/]+)"
_TARGET = r"/b/(?P<to_bucket>[^/]+)/o/(?P<to_name>[^/]+)"
ROUTES = [
    ("GET", "/storage/v1/b", "buckets"),
    ("GET", _BUCKET, "bucket"),
    ("GET", _BUCKET + "/o", "list"),
    ("GET", "/download" + _OBJECT, "download"),
    ("GET", _OBJECT, "stat"),
    ("PATCH", _OBJECT, "patch"),
    ("DELETE", _OBJECT, "delete"),
    ("POST", _OBJECT + "/rewriteTo" + _TARGET, "rewrite"),
    ("POST", _OBJECT + "/copyTo" + _TARGET, "copy"),
    ("POST", _OBJECT + r"/moveTo/o/(?P<to_name>[^/]+)", "move"),
    ("POST", _OBJECT + "/compose", "compose"),
    ("POST", "/upload" + _BUCKET + "/o", "insert"),
    ("PUT", "/upload" + _BUCKET + "/o", "chunk"),
    ("DELETE", "/upload" + _BUCKET + "/o", "cancel"),
]
KEPT = ("contentType", "metadata", "cacheControl")
"""What a copy has of its source."""
PARAMETERS = {
    *("uploadType", "upload_id", "name", "alt", "prettyPrint", "fields", "projection"),
    *("project", "prefix", "delimiter", "startOffset", "endOffset", "pageToken", "maxResults"),
    *("generation", "sourceGeneration", "rewriteToken", "ifGenerationMatch", "ifMetagenerationMatch"),
    "ifGenerationNotMatch",
    *("ifSourceGenerationMatch", "ifSourceMetagenerationMatch"),
    "tensorstore",  # its way around caches
}


class GcsServer:
    """``with GcsServer("bucket") as server``: set ``STORAGE_EMULATOR_HOST`` to ``server.url``."""

    def __init__(self, *buckets: str) -> None:
        self.buckets = {name: Bucket(name) for name in buckets}
        self.sessions: dict[str, Session] = {}
        self.faults = Faults()
        self.unknown: list[str] = []
        self.page_limit = 1000
        self.rewrite_calls = 1
        """So many calls does a rewrite take."""
        self.connections = 0
        """So many were accepted."""
        self.tokens: Container[str] | None = None
        """Bearer tokens that are let in; None for everybody."""
        self._http = _Listener(("127.0.0.1", 0), partial(Exchange, self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> GcsServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="gcs", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._http.hang_up()

    def fail(self, kind: str, *, times: int = 1, status: int = 503, retry_after: float | None = None) -> None:
        self.faults.plan(kind, Fault(status=status, retry_after=retry_after), times)

    def lose_reply(self, kind: str, *, times: int = 1) -> None:
        """The request is served and its answer lost."""
        self.faults.plan(kind, Fault(lost=True), times)

    def cut(self, kind: str, at: int, *, times: int = 1) -> None:
        """The connection breaks after so many bytes: of what is sent by a download, of what is taken from a chunk."""
        self.faults.plan(kind, Fault(cut=at), times)

    def corrupt(self, kind: str, *, times: int = 1) -> None:
        self.faults.plan(kind, Fault(corrupt=True), times)

    @property
    def requests(self) -> Mapping[str, int]:
        """Counted by kind (see ``gcs_faults.PERMISSIONS``)."""
        return self.faults.requests

    @property
    def asked(self) -> Counter[str]:
        """The requests, without the one for the bucket that Google's client makes in a thread whenever it likes."""
        counts = Counter(self.requests)
        del counts["bucket"]
        return counts

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise ApiError(404, "The specified bucket does not exist.", "notFound")
        return self.buckets[name]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Clients keep connections for later; each holds a thread here."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Exchange(Wire):
    """One connection: requests are routed to the method named after their kind."""

    def __init__(self, cloud: GcsServer, *args: Any) -> None:
        self.cloud = cloud
        cloud.connections += 1
        super().__init__(*args)

    def answer(self) -> None:
        self.at, self.kind, self.fault = time.monotonic(), "", Fault()
        self.unread = int(self.headers.get("Content-Length") or 0)
        time.sleep(self.cloud.faults.latency)
        try:
            self._serve()
        except ApiError as error:
            self.drain()
            if error.status == 304:
                self.reply(304)
            else:
                self.send_error_json(error)
        except (Dropped, ConnectionError):
            self.close_connection = True
        except Exception as error:  # a mistake here must not look like a failing network, which clients wait for
            self.cloud.unknown.append(f"{self.command} {self.path}: {error!r}")
            self.drain()
            self.send_error_json(ApiError(501, repr(error), "notImplemented"))

    def answering(self) -> None:
        self.cloud.faults.served.append(Served(self.kind, self.at))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

    def _serve(self) -> None:
        kind, names = self._route()
        self.kind = kind
        self.fault = self.cloud.faults.next(kind)
        self._admit(kind)
        if self.fault.status:
            raise ApiError(self.fault.status, "We encountered an internal error. Please try again.", "backendError")
        method: Callable[..., Iterator[object] | None] = getattr(self, kind)
        if "bucket" in names:
            method(self.cloud.bucket(names.pop("bucket")), **names)
        else:
            method()
        self.wfile.flush()

    def _route(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        for verb, pattern, kind in ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and verb == self.command and PARAMETERS.issuperset(self.query):
                if kind == "stat" and self.query.get("alt") == "media":
                    kind = "download"
                elif kind == "insert" and "upload_id" in self.query:
                    kind = "chunk"  # gcsfs sends its chunks by POST
                elif kind == "insert" and self.query.get("uploadType") == "resumable":
                    kind = "session"
                return kind, {key: unquote(value) for key, value in match.groupdict().items()}
        self.cloud.unknown.append(f"{self.command} {self.path}")
        raise ApiError(501, f"The tests' Cloud Storage does not know {self.command} {self.path}", "notImplemented")

    def _admit(self, kind: str) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.cloud.tokens is not None and token not in self.cloud.tokens:
            raise ApiError(401, "Invalid Credentials", "authError")
        lacking = self.cloud.faults.lacking(kind)
        if lacking:
            text = f"tests@example.iam does not have {lacking} access to the Google Cloud Storage object."
            raise ApiError(403, f"{text} Permission '{lacking}' denied on resource (or it may not exist).", "forbidden")

    # Requests, by kind

    def buckets(self) -> None:
        """Of a project."""
        found = [each for each in self.cloud.buckets.values() if each.project == self.query["project"]]
        names = [each.name for each in found if each.name.startswith(self.query.get("prefix", ""))]
        self.send_json({"kind": "storage#buckets", "items": [{"id": name, "name": name} for name in names]})

    def bucket(self, bucket: Bucket) -> None:
        self.send_json({"kind": "storage#bucket", "id": bucket.name, "name": bucket.name, "location": "US"})

    def list(self, bucket: Bucket) -> None:
        limit = min(int(self.query.get("maxResults") or self.cloud.page_limit), self.cloud.page_limit)
        after = bytes.fromhex(self.query.get("pageToken", "")).decode()
        page = bucket.page(self.query, after, limit)
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if page.objects:
            answer["items"] = [found.resource() for found in page.objects]
        if page.prefixes:
            answer["prefixes"] = page.prefixes
        if page.next:
            answer["nextPageToken"] = page.next.encode().hex()
        self.send_json(answer)

    def stat(self, bucket: Bucket, name: str) -> None:
        self.send_json(bucket.get(name, self.query).resource())

    def patch(self, bucket: Bucket, name: str) -> None:
        self.send_json(bucket.patch(name, json.loads(self.body() or b"{}"), self.query).resource())

    def delete(self, bucket: Bucket, name: str) -> None:
        bucket.delete(name, self.query)
        self.reply(204)

    def download(self, bucket: Bucket, name: str) -> None:
        found = bucket.get(name, self.query)
        size = found.content.size
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Goog-Generation": str(found.generation),
            "X-Goog-Hash": found.hashes(),
            "X-Goog-Stored-Content-Length": str(size),
        }
        if found.attributes.get("contentEncoding") == "gzip":
            assert "gzip" in self.headers.get("Accept-Encoding", ""), "this server does not decompress"
            headers["Content-Encoding"] = "gzip"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._send_content(200, headers, found, 0, size)
        start, end = int(wanted[1]), min(int(wanted[2] or size) + 1, size)
        if start >= size:
            raise ApiError(416, "The requested range cannot be satisfied.", "requestedRangeNotSatisfiable")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return self._send_content(206, headers, found, start, end)

    def _send_content(self, status: int, headers: Mapping[str, str], found: StoredObject, start: int, end: int) -> None:
        self.send_head(status, {**headers, "Content-Length": str(end - start)})
        sent, cut = 0, self.fault.cut
        for piece in found.content.pieces(start, end):
            if self.fault.corrupt and not sent:
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            left = len(piece) if cut is None else cut - sent
            self.wfile.write(piece[:left])
            sent += len(piece)
            if cut is not None and sent >= cut:
                self.wfile.flush()
                raise Dropped

    def insert(self, bucket: Bucket) -> None:
        kind, content = self.query.get("uploadType"), Content()
        if kind == "media":
            attributes = {"name": self.query["name"], "contentType": self.headers.get("Content-Type")}
            self.receive(content)
        elif kind == "multipart":
            attributes, data = parts(self.headers, self.body())
            content.append(bytes([data[0] ^ 1]) + data[1:] if self.fault.corrupt else data)
        else:
            raise ApiError(400, f"Unknown uploadType {kind!r}")
        self.send_json(bucket.insert({**attributes, **_name(self.query)}, content, self.query).resource())

    def session(self, bucket: Bucket) -> None:
        attributes = {**json.loads(self.body() or b"{}"), **_name(self.query)}
        bucket.check(attributes["name"], self.query)
        key = uuid4().hex
        self.cloud.sessions[key] = Session(bucket.name, attributes, self.query)
        place = f"{self.cloud.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={key}"
        self.reply(200, {"Location": place, "X-GUploader-UploadID": key})

    def chunk(self, bucket: Bucket) -> None:
        session = self._session()
        start, total = content_range(self.headers, session)
        if session.finished is None and start is not None:
            known = session.content.size - start
            if known < 0:
                raise ApiError(503, f"Got byte {start}, expected {session.content.size}", "backendError")
            self.drain(known)  # bytes that are there already are ignored
            self.receive(session.content)
            if self.fault.cut is not None:
                raise Dropped
        if session.finished is None and session.content.size == total:
            self._compare(session.content)
            session.finished = bucket.insert(session.attributes, session.content, session.query)
        self.drain()
        if session.finished is not None:
            return self.send_json(session.finished.resource())
        have = session.content.size
        return self.reply(308, {"Range": f"bytes=0-{have - 1}"} if have else {})

    def _compare(self, content: Content) -> None:
        """With the hash that the client has sent."""
        told = dict(re.findall(r"(\w+)=([^,\s]+)", self.headers.get("X-Goog-Hash", "")))
        for key in told.keys() & {"crc32c", "md5"}:
            actual = getattr(content, key)
            if told[key] != actual:
                raise ApiError(400, f"Provided {key.upper()} {told[key]!r} doesn't match calculated {actual!r}.")

    def cancel(self, _: Bucket) -> None:
        self._session()
        del self.cloud.sessions[self.query["upload_id"]]
        self.reply(499)

    def rewrite(self, bucket: Bucket, name: str, to_bucket: str, to_name: str) -> None:
        size = bucket.get(name, {}).content.size
        self.body()
        call = int(self.query.get("rewriteToken") or 0) + 1
        progress = {"kind": "storage#rewriteResponse", "objectSize": str(size)}
        if call < self.cloud.rewrite_calls:
            done = size * call // self.cloud.rewrite_calls
            self.send_json({**progress, "done": False, "rewriteToken": str(call), "totalBytesRewritten": str(done)})
        else:
            made = self._copied(bucket, name, to_bucket, to_name).resource()
            self.send_json({**progress, "done": True, "totalBytesRewritten": str(size), "resource": made})

    def copy(self, bucket: Bucket, name: str, to_bucket: str, to_name: str) -> None:
        self.body()
        self.send_json(self._copied(bucket, name, to_bucket, to_name).resource())

    def move(self, bucket: Bucket, name: str, to_name: str) -> None:
        self.body()
        made = self._copied(bucket, name, bucket.name, to_name)
        bucket.delete(name, {})
        self.send_json(made.resource())

    def compose(self, bucket: Bucket, name: str) -> None:
        asked = json.loads(self.body())
        content = Content()
        for source in asked["sourceObjects"]:
            part = bucket.get(source["name"], {key: str(source[key]) for key in ("generation",) if source.get(key)})
            for piece in part.content.pieces(0, part.content.size):
                content.append(piece)
        attributes = {**asked.get("destination", {}), "name": name}
        self.send_json(bucket.insert(attributes, content, self.query, composed=True).resource())

    def _copied(self, bucket: Bucket, name: str, to_bucket: str, to_name: str) -> StoredObject:
        wanted = self.query.get("sourceGeneration")
        source = bucket.get(name, {"generation": wanted} if wanted else {})
        Preconditions(self.query, "ifSource").check(source)
        attributes = {key: value for key, value in source.attributes.items() if key in KEPT}
        target = self.cloud.bucket(to_bucket)
        return target.insert({**attributes, "name": to_name}, source.content, self.query, composed=source.composed)

    def _session(self) -> Session:
        session = self.cloud.sessions.get(self.query.get("upload_id", ""))
        if session is None:
            raise ApiError(404, "No such upload session", "notFound")
        return session


def _name(query: Mapping[str, str]) -> dict[str, str]:
    return {"name": query["name"]} if "name" in query else {}
