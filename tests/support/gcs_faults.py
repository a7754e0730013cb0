"""What goes wrong on request, and what was asked for, by kind of request."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

PERMISSIONS = {
    "buckets": ("storage.buckets.list",),
    "bucket": ("storage.buckets.get",),
    "list": ("storage.objects.list",),
    "download": ("storage.objects.get",),
    "stat": ("storage.objects.get",),
    "patch": ("storage.objects.update",),
    "delete": ("storage.objects.delete",),
    "insert": ("storage.objects.create",),
    "session": ("storage.objects.create",),
    "chunk": ("storage.objects.create",),
    "cancel": ("storage.objects.create",),
    "rewrite": ("storage.objects.get", "storage.objects.create"),
    "copy": ("storage.objects.get", "storage.objects.create"),
    "move": ("storage.objects.move", "storage.objects.create"),
    "compose": ("storage.objects.get", "storage.objects.create"),
}
"""Kinds of requests and what they take (a request for the wrong kind is a mistake of the test)."""


@dataclass(frozen=True)
class Fault:
    """``status`` answers an error instead; ``lost`` does the work and drops the connection; ``cut`` sends so many bytes
    of the content and drops it; ``corrupt`` changes one byte of the content."""

    status: int = 0
    retry_after: float | None = None
    lost: bool = False
    cut: int | None = None
    corrupt: bool = False


@dataclass(frozen=True)
class Served:
    """One request, and when it came by ``time.monotonic``."""

    kind: str
    at: float


class Faults:
    """Planned faults by kind, in order, each used once."""

    def __init__(self) -> None:
        self._planned: dict[str, deque[Fault]] = {}
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.served: list[Served] = []
        """In the order of their answers."""
        self.denied: set[str] = set()
        """Permissions that the caller lacks."""
        self.latency = 0.0
        """Seconds before every answer."""

    def plan(self, kind: str, fault: Fault, times: int = 1) -> None:
        assert kind in PERMISSIONS, kind
        with self._lock:
            self._planned.setdefault(kind, deque()).extend([fault] * times)

    def clear(self) -> None:
        """All is well again."""
        with self._lock:
            self._planned.clear()
        self.denied.clear()
        self.latency = 0.0

    def next(self, kind: str) -> Fault:
        """Count a request; what shall happen to it."""
        with self._lock:
            self.requests[kind] += 1
            planned = self._planned.get(kind)
            return planned.popleft() if planned else Fault()

    def lacking(self, kind: str) -> str:
        """The first permission that this kind of request needs and the caller lacks; empty when there is none."""
        return next((permission for permission in PERMISSIONS[kind] if permission in self.denied), "")
