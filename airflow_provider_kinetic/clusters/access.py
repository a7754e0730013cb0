"""How one identity reaches one API server: plain values and a source of tokens, without Airflow or Google.

Hooks make an :class:`Access` out of a connection; everything that talks to the server (one client for the worker, one
for the event loop of the triggerer) is shared by its :attr:`~Access.key`. So two clusters, or two
identities on one cluster, never meet in a client, a TLS session or a token (``contract`` P9).
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

EARLY = 300.0
"""Seconds before its end at which a token is replaced."""
SPARE = 0.1
"""The same as a share of the token's life, for those that live less than an hour."""


class Token(NamedTuple):
    """A bearer token. ``expires`` in Unix seconds by this machine's clock; infinite where it has no end."""

    value: str
    expires: float = float("inf")


class TokenSource:
    """One token for everybody who has the same identity; thread-safe.

    :param fetch: gets a new token; blocks.
    """

    def __init__(self, fetch: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.RLock()  # a task that is killed while it waits for a token needs one to end its job
        self._token: Token | None = None
        self._replace_at = 0.0

    def current(self) -> str | None:
        """The token at hand, never any I/O; None where a new one is due."""
        token = self._token
        return token.value if token is not None and self._clock() < self._replace_at else None

    def get(self, refused: str | None = None) -> str:
        """A token that is good; blocks while it is fetched. ``refused``: the server does not take this one any more."""
        with self._lock:
            token = self.current()
            if token is None or token == refused:
                fetched = self._fetch()
                now = self._clock()
                self._token = fetched
                self._replace_at = fetched.expires - min(EARLY, SPARE * max(0.0, fetched.expires - now))
                token = fetched.value
            return token


@dataclass(frozen=True)
class Access:
    """An API server and who asks it.

    ``identity`` says who in words, with a digest of the credential where there is one; never a secret itself.
    """

    server: str
    """``https://host[:port][/path]`` without final slash."""
    identity: str
    authority: str | None = None
    """PEM text of the server's certificate authority; None: those of the system."""
    verify: bool = True
    client_certificate: tuple[str, str] | None = None
    """Paths of certificate and key."""
    proxy: str | None = None
    tokens: TokenSource | None = field(default=None, compare=False)

    @property
    def key(self) -> tuple[str, ...]:
        """What may share a client."""
        authority = hashlib.sha256((self.authority or "").encode()).hexdigest()[:16]
        files = self.client_certificate or ()
        return (self.server, self.identity, authority, str(self.verify), self.proxy or "", *files)

    def tls(self) -> ssl.SSLContext:
        """A new TLS context: some 20 ms where the system's authorities are loaded, so make one for each client."""
        context = ssl.create_default_context(cadata=self.authority)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate is not None:
            context.load_cert_chain(*self.client_certificate)
        return context


class Bearer(httpx.Auth):
    """Sends the token, and a new one once when the server refuses it."""

    def __init__(self, tokens: TokenSource | None) -> None:
        self._tokens = tokens

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._tokens is None:
            yield request
            return
        token = self._tokens.current() or self._tokens.get()
        response = yield _signed(request, token)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            yield _signed(request, self._tokens.get(refused=token))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if self._tokens is None:
            yield request
            return
        token = self._tokens.current()
        if token is None:
            token = await asyncio.to_thread(self._tokens.get)
        response = yield _signed(request, token)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            yield _signed(request, await asyncio.to_thread(self._tokens.get, token))


def _signed(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request
