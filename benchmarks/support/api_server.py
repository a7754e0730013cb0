"""The API server of a triggerer benchmark: tens of thousands of Jobs and pods behind TLS, in a process of its own.

It answers what triggers ask (LIST in pages, WATCH with bookmarks, GET, and an OAuth token beside it), counts it, and
does nothing else: objects are ready-made text, so the machine's other core is left to the loop that is measured.
Connections, TLS and chunks are those of the tests' server (``tests/support/kube``).
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from kube import selectors
from kube.api import Answer, Gone
from kube.certificates import server_context
from kube.http_server import HttpServer
from support.cluster_objects import COMPLETE, ENDED, KINDS, RUNNING, Templates, job_id, whole

BOOKMARK_EVERY = 60.0
"""Seconds, as the real server."""
_TICK = 0.5


@dataclass(frozen=True)
class Place:
    """How clients reach the server."""

    url: str
    authority: str
    """PEM."""
    token_uri: str


@dataclass
class Counts:
    """Requests by what was asked, and TLS connections, since the start."""

    by: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str) -> None:
        with self._lock:
            self.by[what] += 1


class Change(NamedTuple):
    """What an object is from a version on."""

    version: int
    plural: str
    name: str
    item: bytes


class Objects:
    """The state of the cluster and the changes that watches send."""

    def __init__(self) -> None:
        self.templates = Templates()
        self.changed = threading.Condition()
        self.version = 1
        self.items: dict[str, dict[str, bytes]] = {plural: {} for plural in KINDS}
        self.labels: dict[str, dict[str, dict[str, str]]] = {plural: {} for plural in KINDS}
        self.changes: list[Change] = []
        self.size = 0

    def fill(self, size: int) -> None:
        """``size`` running jobs with their pods, and nothing else."""
        self.size = size
        self.changes.clear()
        for kept in (*self.items.values(), *self.labels.values()):
            kept.clear()
        for index in range(size):
            for plural in ("jobs", "pods"):
                self.version += 1
                name = _name(plural, index)
                self.items[plural][name] = self.templates.item(plural, RUNNING, index, self.version)
                self.labels[plural][name] = self.templates.labels(plural, index)

    def complete(self, over: float) -> list[float]:
        """End every job, at once or evenly over so many seconds. When each became Complete, by the monotonic clock.

        Evenly, each pod and each Job changes twice, as a real cluster does it: the process has ended, it is accounted
        for. At once, which no cluster can do, there is one change of each.
        """
        stages = (ENDED, COMPLETE) if over else (COMPLETE,)
        prepared = [self._ending(index, self.version + 4 * index, stages) for index in range(self.size)]
        begin, pause, at = time.monotonic(), over / self.size, []
        if not over:
            self._publish([change for changes in prepared for change in changes])
            return [begin] * self.size
        for index, changes in enumerate(prepared):
            time.sleep(max(0.0, begin + index * pause - time.monotonic()))
            at.append(time.monotonic())
            self._publish(changes)
        return at

    def _ending(self, index: int, version: int, stages: tuple[int, ...]) -> list[Change]:
        changes = []
        for stage in stages:
            for plural in ("pods", "jobs"):
                version += 1
                item = self.templates.item(plural, stage, index, version)
                changes.append(Change(version, plural, _name(plural, index), item))
        return changes

    def _publish(self, changes: list[Change]) -> None:
        with self.changed:
            for change in changes:
                self.items[change.plural][change.name] = change.item
            self.changes += changes
            self.version = changes[-1].version
            self.changed.notify_all()

    def since(self, position: int, wait: float) -> list[Change]:
        """Changes from the ``position``-th on; none where nothing happens in time."""
        with self.changed:
            if len(self.changes) == position:
                self.changed.wait(wait)
            return self.changes[position:]


def _name(plural: str, index: int) -> str:
    return f"kinetic-{job_id(index)}" + ("-x7k2p" if plural == "pods" else "")


class Api:
    """From a request to its answer."""

    def __init__(self, objects: Objects, counts: Counts) -> None:
        self._objects = objects
        self._counts = counts

    def respond(self, method: str, url: str, _headers: Any, _body: bytes, gone: Gone) -> Answer:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        words = parts.path.strip("/").split("/")
        plural = next((word for word in words if word in KINDS), "")
        rest = words[words.index(plural) + 1 :] if plural else []
        verb = (
            ("get" if rest else "watch" if query.get("watch") in ("true", "1", "True") else "list") if plural else "?"
        )
        self._counts.add(f"{verb} {plural or parts.path}" if method == "GET" else f"{method} {parts.path}")
        if method != "GET" or not plural or (rest and rest[0] not in self._objects.items[plural]):
            return _json({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}, 404)
        if rest:
            return Answer(200, whole(plural, self._objects.items[plural][rest[0]]))
        if verb == "watch":
            return Answer(200, self._watch(plural, query, gone))
        return self._list(plural, query)

    def _list(self, plural: str, query: dict[str, str]) -> Answer:
        chosen = self._chosen(plural, query)
        names = [name for name in sorted(self._objects.items[plural]) if chosen(name)]
        first, limit = int(query.get("continue") or 0), int(query.get("limit") or 0) or len(names)
        meta: dict[str, Any] = {"resourceVersion": str(self._objects.version)}
        if first + limit < len(names):
            meta |= {"continue": str(first + limit), "remainingItemCount": len(names) - first - limit}
        kind, version = KINDS[plural]
        head = json.dumps({"kind": f"{kind}List", "apiVersion": version, "metadata": meta}, separators=(",", ":"))
        items = b",".join(self._objects.items[plural][name] for name in names[first : first + limit])
        return Answer(200, head[:-1].encode() + b',"items":[' + items + b"]}\n")

    def _chosen(self, plural: str, query: dict[str, str]) -> Any:
        test = selectors.labels(query.get("labelSelector", ""))
        labels = self._objects.labels[plural]
        return lambda name: test({"metadata": {"labels": labels[name]}})

    def _watch(self, plural: str, query: dict[str, str], gone: Gone) -> Iterator[bytes]:
        """One chunk for each event, as the real server."""
        chosen = self._chosen(plural, query)
        asked = int(query.get("resourceVersion") or 0)
        end = time.monotonic() + float(query.get("timeoutSeconds") or 3600)
        position, marked = 0, time.monotonic()
        while time.monotonic() < end and not gone():
            changes = self._objects.since(position, _TICK)
            position += len(changes)
            for version, kind, name, item in changes:
                if kind == plural and version > asked and chosen(name):
                    yield b'{"type":"MODIFIED","object":' + whole(plural, item) + b"}\n"
            if time.monotonic() - marked >= BOOKMARK_EVERY:
                marked = time.monotonic()
                yield self._bookmark(plural)

    def _bookmark(self, plural: str) -> bytes:
        kind, version = KINDS[plural]
        meta = {"resourceVersion": str(self._objects.version), "creationTimestamp": None}
        return (
            json.dumps({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": version, "metadata": meta}}).encode()
            + b"\n"
        )


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode())


class _CountingServer(HttpServer):
    """Counts the connections whose TLS handshake begins."""

    counts: Counts

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.counts.add("connection")
        super().finish_request(request, client_address)


class _Tokens(BaseHTTPRequestHandler):
    """OAuth's token endpoint, without TLS and at once: kinder than Google's."""

    def __init__(self, counts: Counts, *args: Any) -> None:
        self._counts = counts
        super().__init__(*args)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._counts.add("token")
        body = json.dumps({"access_token": "t" * 200, "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def serve(control: Connection, folder: Path) -> None:
    """The process: says its place, then does as ``control`` tells it until that is closed."""
    counts, objects = Counts(), Objects()
    context, authority = server_context(folder)
    _CountingServer.counts = counts
    https = _CountingServer(context, Api(objects, counts).respond, partial(formatdate, usegmt=True))
    tokens = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Tokens, counts))
    tokens.request_queue_size = 1024
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    control.send(Place(https.url, authority.decode(), f"http://127.0.0.1:{tokens.server_address[1]}/token"))
    orders = {"fill": objects.fill, "complete": objects.complete, "counts": lambda: Counter(counts.by)}
    orders["sizes"] = lambda: objects.templates.sizes
    while True:
        try:
            order, *arguments = control.recv()
        except EOFError:
            return
        control.send(orders[order](*arguments))
