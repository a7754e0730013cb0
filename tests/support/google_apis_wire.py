"""HTTP as Google's JSON APIs speak it: routes by path templates, errors as JSON, bearer tokens."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_PLACE = r"v1/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)"
_REPOSITORY = _PLACE + r"/repositories/(?P<repository>[^/]+)"
_PACKAGE = _REPOSITORY + r"/packages/(?P<package>[^/]+)"
ROUTES = {
    "builds.create": ("POST", _PLACE + r"/builds", "create_build", set[str]()),
    "builds.list": ("GET", _PLACE + r"/builds", "list_builds", {"filter", "pageSize", "projectId"}),
    "builds.get": ("GET", _PLACE + r"/builds/(?P<id>[^/:]+)", "get_build", {"projectId", "id"}),
    "builds.cancel": ("POST", _PLACE + r"/builds/(?P<id>[^/:]+):cancel", "cancel_build", set[str]()),
    "tags.get": ("GET", _PACKAGE + r"/tags/(?P<tag>[^/]+)", "get_tag", set[str]()),
    "tags.delete": ("DELETE", _PACKAGE + r"/tags/(?P<tag>[^/]+)", "delete_tag", set[str]()),
    "versions.delete": ("DELETE", _PACKAGE + r"/versions/(?P<version>[^/]+)", "delete_version", set[str]()),
    "images.list": ("GET", _REPOSITORY + r"/dockerImages", "list_images", {"pageSize", "pageToken"}),
    "entries.list": ("POST", r"v2/entries:list", "list_entries", set[str]()),
}
"""By the name under which it is counted: method, path, what answers, parameters."""
_ANYWHERE = {"$alt", "alt", "prettyPrint"}


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Answer:
    """One request, as those who answer see it."""

    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]
    forbidden: set[str]

    def needs(self, permission: str) -> None:
        if permission in self.forbidden:
            raise Refusal(403, f"Permission '{permission}' denied on resource '//{self.path}' (or it may not exist).")


class Wire(BaseHTTPRequestHandler):
    """``google`` has a method for each route, ``asked``, ``faults``, ``forbidden`` and ``known``."""

    protocol_version = "HTTP/1.1"

    def __init__(self, google: Any, *args: Any) -> None:
        self.google = google
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        try:
            content = self._answer(json.loads(body or b"{}"))
            if content is not None:
                self._send(200, content)
        except Refusal as refusal:
            error = {"code": refusal.status, "message": refusal.message, "status": "REFUSED"}
            self._send(refusal.status, {"error": error})

    do_POST = do_DELETE = do_GET

    def _answer(self, body: dict[str, Any]) -> dict[str, Any] | None:
        address = urlsplit(self.path)
        path, query = address.path.lstrip("/"), dict(parse_qsl(address.query))
        name, parts = self._route(path, set(query))
        google = self.google
        google.asked[name] += 1
        if not google.known(self.headers["Authorization"] or ""):
            raise Refusal(401, "Request had invalid authentication credentials.")
        fault = next((each for each in google.faults if each[0] == name), None)
        if fault is not None:
            google.faults.remove(fault)
            if fault[1]:
                raise Refusal(fault[1], fault[2])
        content = getattr(google, ROUTES[name][2])(Answer(path, parts, query, body, google.forbidden))
        if fault is not None:  # done, and the answer is lost
            self.close_connection = True
            return None
        return dict(content)

    def _route(self, path: str, parameters: set[str]) -> tuple[str, dict[str, str]]:
        for name, (method, template, _, allowed) in ROUTES.items():
            found = re.fullmatch(template, path)
            if found and method == self.command:
                if strange := parameters - allowed - _ANYWHERE:
                    raise Refusal(400, f"Unknown parameter: {sorted(strange)[0]}")
                return name, found.groupdict()
        raise Refusal(501, f"Not known here: {self.command} {path}")

    def _send(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def read_token(token: str, key: rsa.RSAPrivateKey) -> dict[str, Any] | None:
    """The claims of a token that an account signed itself with this key; None where it did not."""
    try:
        signed, _, signature = token.rpartition(".")
        key.public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return dict(json.loads(_decoded(signed.partition(".")[2])))
    except (ValueError, InvalidSignature):
        return None


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
