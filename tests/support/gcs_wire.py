"""HTTP as Cloud Storage speaks it: bodies in pieces, resumable ranges, multipart bodies, partial responses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any

from gcs_faults import Fault
from gcs_objects import PIECE, ApiError, Content, Session


class Dropped(Exception):
    """The connection ends here, without an answer."""


class Wire(BaseHTTPRequestHandler):
    """One connection. ``fault`` and ``query`` belong to the request that is being served."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    unread = 0
    """Bytes of the request's body."""
    fault = Fault()
    query: Mapping[str, str] = MappingProxyType({})

    def answering(self) -> None:
        """The answer goes out now."""

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def body(self) -> bytes:
        data = self.rfile.read(self.unread)
        self.unread -= len(data)
        if self.unread:
            raise Dropped
        return data

    def receive(self, content: Content) -> None:
        """The body in pieces; up to where a planned fault breaks it off."""
        left = self.unread if self.fault.cut is None else min(self.fault.cut, self.unread)
        while left:
            data = self.rfile.read(min(left, PIECE))
            if not data:
                raise Dropped
            content.append(bytes([data[0] ^ 1]) + data[1:] if self.fault.corrupt and left == self.unread else data)
            left -= len(data)
            self.unread -= len(data)

    def drain(self, limit: int | None = None) -> None:
        """Read the body, or so many bytes of it, to nowhere."""
        left = self.unread if limit is None else min(limit, self.unread)
        while left and (data := self.rfile.read(min(left, PIECE))):
            left -= len(data)
            self.unread -= len(data)

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        if self.fault.lost:
            raise Dropped
        self.answering()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def reply(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_head(status, {**(headers or {}), "Content-Length": str(len(body))})
        self.wfile.write(body)
        self.wfile.flush()

    def send_json(self, content: Mapping[str, Any]) -> None:
        selected = select(content, self.query.get("fields", ""))
        self.reply(200, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(selected).encode())

    def send_error_json(self, error: ApiError) -> None:
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if self.fault.retry_after is not None:
            headers["Retry-After"] = f"{self.fault.retry_after:g}"
        details = [{"message": error.message, "domain": "global", "reason": error.reason}]
        body = json.dumps({"error": {"code": error.status, "message": error.message, "errors": details}}).encode()
        if "/download/" in self.path or self.query.get("alt") == "media":
            headers["Content-Type"], body = "text/html; charset=UTF-8", error.message.encode()
        try:
            self.reply(error.status, headers, body)
        except (Dropped, ConnectionError):
            self.close_connection = True


def parts(headers: Message, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Attributes and content of a multipart/related body."""
    boundary = headers.get_param("boundary")
    if not isinstance(boundary, str):
        raise ApiError(400, "A multipart upload needs a boundary")
    parts = body.split(b"--" + boundary.encode())
    if len(parts) != 4 or parts[3].strip() != b"--":
        raise ApiError(400, "A multipart upload has two parts")
    attributes, content = (part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:3])
    return json.loads(attributes), content


def content_range(headers: Message, session: Session) -> tuple[int | None, int | None]:
    """First byte of the body (None: a question for the state) and the size of the whole (None: not known yet)."""
    text = headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", text)
    length = int(headers.get("Content-Length") or 0)
    if not text:
        return 0, session.content.size + length
    if match is None or (match[1] and int(match[2]) - int(match[1]) + 1 != length):
        raise ApiError(400, f"Content-Range {text!r} does not fit {length} bytes")
    return int(match[1]) if match[1] else None, None if match[3] == "*" else int(match[3])


def select(content: Mapping[str, Any], fields: str) -> Mapping[str, Any]:
    """Partial response: ``a,b`` and ``items(a,b)``."""
    if not fields:
        return content
    chosen: dict[str, Any] = {}
    for name, inner in re.findall(r"([\w/]+)(?:\(([^)]*)\))?", fields):
        if name in content and inner:
            chosen[name] = [select(item, inner) for item in content[name]]
        elif name in content:
            chosen[name] = content[name]
    return chosen
