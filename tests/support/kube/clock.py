"""The server's own time: clients must judge by the server's stamps, so a test can set this clock apart."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate


class Clock:
    """``offset``: seconds that the server is ahead of this machine."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def now(self) -> float:
        return time.time() + self.offset

    def stamp(self, at: float | None = None) -> str:
        """RFC 3339 in whole seconds, as ``metav1.Time`` is written."""
        return datetime.fromtimestamp(int(self.now() if at is None else at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def micro(self) -> str:
        """RFC 3339 in microseconds, as ``metav1.MicroTime`` is written."""
        return datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def http_date(self) -> str:
        return formatdate(self.now(), usegmt=True)


def seconds(stamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; ValueError where it is none."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
