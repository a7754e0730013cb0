"""How many requests waited for each other, told by when they came to a server that lets each wait."""

from __future__ import annotations

from collections.abc import Iterable


def chain(times: Iterable[float], latency: float) -> int:
    """The longest chain of requests of which each can have waited for the answer to the one before."""
    length, last = 0, float("-inf")
    for at in sorted(times):
        if at >= last + latency:
            length, last = length + 1, at
    return length
