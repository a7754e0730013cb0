"""WATCH: changes since a version, of the objects that match, with bookmarks, an end, and expiry."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator

from kube.errors import Object, Refusal, expired
from kube.listing import chosen
from kube.route import Route, truth
from kube.store import Change, Store

_TICK = 0.25  # seconds between looks at whether the client is still there


class Watch:
    """Yields the lines of one watch. ``gone`` says that the client has left; ``lag``: seconds that it trails behind."""

    def __init__(
        self, store: Store, route: Route, query: dict[str, str], *, bookmark_every: float, lag: float = 0.0
    ) -> None:
        self._store = store
        self._route = route
        self._query = query
        self._matches = chosen(route, query)
        self._bookmarks = truth(query, "allowWatchBookmarks")
        self._bookmark_every = bookmark_every
        self._lag = lag
        self._expired = threading.Event()
        asked = query.get("resourceVersion", "")
        if asked and not asked.isdigit():
            raise Refusal(400, f'resourceVersion: Invalid value: "{asked}"')
        self._position = int(asked or 0)

    def expire(self) -> None:
        """Ends this watch with an ERROR event 410."""
        self._expired.set()
        with self._store.changed:
            self._store.changed.notify_all()

    def lines(self, gone: Callable[[], bool]) -> Iterator[bytes]:
        timeout = float(self._query.get("timeoutSeconds") or random.uniform(1800, 3600))
        end = time.monotonic() + timeout
        yield from self._state()
        marked = time.monotonic()
        while time.monotonic() < end and not gone():
            changes = self._wait(min(end, time.monotonic() + _TICK))
            if changes is None:
                yield _line(
                    "ERROR", expired(f"too old resource version: {self._position} ({self._store.compacted})").status()
                )
                return
            if changes and self._lag:
                time.sleep(self._lag)
            for change in changes:
                if event := self._event(change):
                    yield event
                self._position = change.version
            if self._bookmarks and time.monotonic() - marked >= self._bookmark_every:
                yield self._bookmark()
                marked = time.monotonic()
        if self._bookmarks and not gone():
            yield self._bookmark()

    def _state(self) -> Iterator[bytes]:
        """Without a version, or asked for it, a watch begins with what is there."""
        initial = truth(self._query, "sendInitialEvents")
        if self._position and not initial:
            return
        with self._store.lock:
            items, version = self._store.list(self._route.resource, self._route.namespace)
            self._position = version
        for obj in items:
            if self._matches(obj):
                yield _line("ADDED", obj)
        if initial and self._bookmarks:
            yield self._bookmark({"k8s.io/initial-events-end": "true"})

    def _wait(self, until: float) -> list[Change] | None:
        """Changes after the position, none when nothing happened in time; None: the position is too old."""
        with self._store.changed:
            while True:
                if self._expired.is_set() or self._position < self._store.compacted:
                    return None
                history = self._store.history
                if self._position < self._store.version:
                    return history[self._position - self._store.compacted :]
                left = until - time.monotonic()
                if left <= 0:
                    return []
                self._store.changed.wait(left)

    def _event(self, change: Change) -> bytes | None:
        """An object that begins to match is ADDED, one that no longer does is DELETED."""
        if change.resource != self._route.resource:
            return None
        before = change.old is not None and self._matches(change.old)
        after = change.new is not None and self._matches(change.new)
        if not before and not after:
            return None
        if not before:
            return _line("ADDED", change.last)
        return _line("MODIFIED" if after else "DELETED", change.last)

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        resource = self._route.resource
        meta: Object = {"resourceVersion": str(self._position), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        return _line("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta})


def _line(kind: str, obj: Object) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"
