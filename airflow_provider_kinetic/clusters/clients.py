"""One HTTP client for each way to reach an API server, shared by everything in a process that goes that way.

A client holds connections and a TLS context that costs some 20 ms to make, so it is shared; it also carries the
identity, so it is shared by :attr:`Access.key` and by nothing else (``contract`` P9). A forked process starts without
any: two processes that write into one TLS connection break it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_kinetic import __version__
from airflow_provider_kinetic.clusters.access import Access, Bearer

USER_AGENT = f"airflow-provider-kinetic/{__version__}"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds without a byte; a request that streams sets its own."""
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=60.0)
IDLE = 3600.0
"""Seconds after which a client that nobody asked for is closed: credentials that change leave one behind each time."""


@dataclass
class _Shared:
    client: httpx.Client
    asked_at: float


class Clients:
    """The blocking clients of one process; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shared: dict[tuple[str, ...], _Shared] = {}

    def get(self, access: Access) -> httpx.Client:
        """The client of ``access``. Ask for it again before each request rather than keep it."""
        now = self._clock()
        with self._lock:
            shared = self._shared.get(access.key)
            if shared is None or shared.client.is_closed:
                self._close_idle(now)
                shared = self._shared[access.key] = _Shared(httpx.Client(**_settings(access)), now)
            shared.asked_at = now
            return shared.client

    def close(self, access: Access | None = None) -> None:
        """Close the client of ``access``, or all. The next request makes a new one."""
        with self._lock:
            keys = list(self._shared) if access is None else [access.key]
            closed = [self._shared.pop(key) for key in keys if key in self._shared]
        for shared in closed:
            shared.client.close()

    def _close_idle(self, now: float) -> None:
        for key in [key for key, shared in self._shared.items() if now - shared.asked_at > IDLE]:
            self._shared.pop(key).client.close()


_clients = Clients()


def client(access: Access) -> httpx.Client:
    """The blocking client that this process shares for ``access``."""
    return _clients.get(access)


def async_client(access: Access) -> httpx.AsyncClient:
    """A new client for an event loop, which has to close it: connections belong to the loop that made them."""
    return httpx.AsyncClient(**_settings(access), event_hooks={"request": [_closing]})


async def _closing(request: httpx.Request) -> None:
    """Closes the connection that was opened for ``request`` if its handshake is cancelled: httpcore leaves it open."""
    opened: list[Any] = []

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            opened.append(info["return_value"])
        elif event == "connection.start_tls.failed":
            for stream in opened:
                await stream.aclose()

    request.extensions["trace"] = trace


def close(access: Access | None = None) -> None:
    """Close the blocking client of ``access``, or all that this process has."""
    _clients.close(access)


def _settings(access: Access) -> dict[str, Any]:
    """Redirects are not followed: an API server sends none, and a token must not go where one points."""
    return {
        "base_url": access.server,
        "auth": Bearer(access.tokens),
        "verify": access.tls(),
        "proxy": access.proxy,
        "timeout": TIMEOUT,
        "limits": LIMITS,
        "headers": {"User-Agent": USER_AGENT, "Accept": "application/json"},
    }


def _forget() -> None:
    """In a forked child: new lock, no clients. The parent's connections are left alone, not closed."""
    global _clients, _inherited
    _inherited, _clients = _clients, Clients()


_inherited: Clients | None = None
os.register_at_fork(after_in_child=_forget)
