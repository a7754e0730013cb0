"""The output of one container: whole lines, each with the server's time at which it came."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from kube.clock import Clock, seconds
from kube.route import truth


class ContainerLog:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[tuple[float, bytes]] = []
        self._changed = threading.Condition()
        self._closed = False

    def write(self, line: bytes) -> None:
        with self._changed:
            self._lines.append((self._clock.now(), line))
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def tail(self, lines: int, limit: int) -> str:
        """The last lines, at most ``limit`` bytes of them."""
        return b"".join(line for _, line in self._lines[-lines:])[-limit:].decode(errors="replace")

    def read(self, query: dict[str, str], gone: Callable[[], bool]) -> Iterator[bytes]:
        """By the parameters of ``pods/log``; with ``follow`` until the container has ended or the client has left."""
        stamped = truth(query, "timestamps")
        follow = truth(query, "follow")
        limit = int(query.get("limitBytes") or 1 << 62)
        position = self._first(query)
        while limit > 0:
            with self._changed:
                if follow and position >= len(self._lines) and not self._closed:
                    self._changed.wait(0.25)
                lines, closed = self._lines[position:], self._closed
            position += len(lines)
            for at, line in lines:
                text = (_nano(at) + line if stamped else line)[:limit]
                limit -= len(text)
                yield text
            if not follow or (closed and not lines) or gone():
                return

    def _first(self, query: dict[str, str]) -> int:
        since = float("-inf")
        if query.get("sinceTime"):
            since = seconds(query["sinceTime"])
        elif query.get("sinceSeconds"):
            since = self._clock.now() - float(query["sinceSeconds"])
        first = next((number for number, (at, _) in enumerate(self._lines) if at >= since - 1e-6), len(self._lines))
        if query.get("tailLines"):
            first = max(first, len(self._lines) - int(query["tailLines"]))
        return first


def _nano(at: float) -> bytes:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode()
