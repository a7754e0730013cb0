"""HTTP to Cloud Storage: kept connections, patience, and one token for all.

Only what is safe to send twice goes through here, so every failure that may pass is tried again until the patience
is spent. The job forks once: a connection is never used by two processes.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol, Union
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_kinetic.job.credentials import fetch_token
from airflow_provider_kinetic.job.tokens import PASSING, service

PATIENCE = 300.0
"""Seconds for which a request is repeated: a result of days of work is worth some minutes of waiting."""
TIMEOUT = 60.0
BLOCK = 1 << 20

FAILURES = (OSError, http.client.HTTPException)
"""Of a connection."""

Body = Union[bytes, BinaryIO, "Callable[[], BinaryIO]"]
"""Of a request; what opens a stream does so anew for every try. A stream's length must stand in the headers."""


class GcsError(OSError):
    """Cloud Storage refused or stayed away. The text says what was asked for and what to do."""


class Tokens(Protocol):
    """Where access tokens come from; several threads ask."""

    def get(self) -> str:
        """Good for the next request. Raises OSError: there is none."""

    def forget(self, text: str) -> None:
        """It was refused."""


class Token:
    """One access token for all threads, fetched anew some time before it expires."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._text = ""
        self._good_until = 0.0

    def get(self) -> str:
        with self._lock:
            if time.monotonic() >= self._good_until:
                try:
                    self._text, lifetime = fetch_token(self._environ)
                except OSError as error:
                    raise GcsError(f"No access token for Cloud Storage: {error}") from error
                self._good_until = time.monotonic() + lifetime - min(120.0, lifetime / 4)
            return self._text

    def forget(self, text: str) -> None:
        """It was refused; another thread may have a new one by now."""
        with self._lock:
            if text == self._text:
                self._good_until = 0.0


class Reply:
    """An answer. Its connection is used again when everything was read."""

    def __init__(self, pool: Pool, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._pool = pool
        self._connection = connection
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.data = b""

    def readinto(self, buffer: memoryview) -> int:
        return self._response.readinto(buffer)

    def finish(self) -> Reply:
        """Read all that is left."""
        try:
            self.data = self._response.read()
        except BaseException:
            self._connection.close()
            raise
        self.close()
        return self

    def close(self) -> None:
        if self._response.isclosed() and not self._response.will_close:
            self._pool.give(self._connection)
        else:
            self._connection.close()


class Pool:
    """Idle connections of this process to one server, through the proxy that ``HTTPS_PROXY`` names."""

    def __init__(self, base: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(base)
        self._host = parts.netloc
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._proxy = None if self._tls is None or proxy_bypass(self._host) else getproxies().get("https")
        self._idle: list[http.client.HTTPConnection] = []
        self._process = os.getpid()

    def take(self) -> http.client.HTTPConnection:
        if self._process != os.getpid():
            self._process, self._idle = os.getpid(), []
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        if self._tls is None:
            return http.client.HTTPConnection(self._host, timeout=TIMEOUT, blocksize=BLOCK)
        proxy = urlsplit(self._proxy if "://" in self._proxy else f"//{self._proxy}") if self._proxy else None
        host = proxy.netloc.rpartition("@")[2] if proxy else self._host
        connection = http.client.HTTPSConnection(host, timeout=TIMEOUT, blocksize=BLOCK, context=self._tls)
        if proxy:
            connection.set_tunnel(self._host, headers=_proxy_login(proxy.username, proxy.password))
        return connection

    def give(self, connection: http.client.HTTPConnection) -> None:
        self._idle.append(connection)

    def clear(self) -> None:
        """Close what is idle: the server has been away, and these were opened before."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _proxy_login(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    text = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(text).decode()}"}


class Backoff:
    """Growing pauses, until the patience is spent."""

    def __init__(self, patience: float) -> None:
        self._deadline = time.monotonic() + patience
        self._pause = 0.25

    def wait(self, retry_after: str | None = None) -> bool:
        """Sleep; False when there is no time left. ``retry_after`` is the server's wish, in seconds."""
        pause = self._pause * random.uniform(0.5, 1)
        if retry_after and retry_after.isdecimal():
            pause += float(retry_after)
        self._pause = min(2 * self._pause, 16.0)
        if time.monotonic() + pause > self._deadline:
            return False
        time.sleep(pause)
        return True


def _opened(body: Callable[[], BinaryIO]) -> BinaryIO:
    try:
        return body()
    except OSError as error:  # no trouble of the network, which would pass
        raise GcsError(f"What was to be sent cannot be read: {error}") from error


class Session:
    """Requests to Cloud Storage by path and query.

    :param environ: names the server, and the identity if ``tokens`` does not.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        patience: float = PATIENCE,
        *,
        tokens: Tokens | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        base, emulated = service(environ)
        self.patience = patience
        self._pool = Pool(base, tls)
        self._token = None if emulated else tokens or Token(environ)

    def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | Callable[[], BinaryIO] = b"",
        headers: Mapping[str, str] | None = None,
        streamed: bool = False,
    ) -> Reply:
        """The first answer that is not about passing trouble. A ``streamed`` one is still to be read when it is good.

        :raises GcsError: there was none.
        """
        backoff = Backoff(self.patience)
        while True:
            try:
                reply = self.once(method, target, body, headers or {})
                if not streamed or reply.status >= 300:
                    reply.finish()
            except GcsError:
                raise
            except FAILURES as error:
                self._pool.clear()
                failure, wish = f"no answer: {type(error).__name__} {error}", None
            else:
                if reply.status not in PASSING:
                    return reply
                failure, wish = f"{reply.status} {reply.data[:200]!r}", reply.headers.get("Retry-After")
            if not backoff.wait(wish):
                raise GcsError(f"Cloud Storage is away ({failure}); it was asked again for {self.patience:g} seconds")

    def close(self) -> None:
        """Idle connections; the session can still be used."""
        self._pool.clear()

    def once(self, method: str, target: str, body: Body, headers: Mapping[str, str]) -> Reply:
        """One request; a second one only for a token that was refused. The answer is still to be read."""
        if self._token is None:
            return self._send(method, target, body, headers)
        token = self._token.get()
        reply = self._send(method, target, body, {**headers, "Authorization": f"Bearer {token}"})
        if reply.status != 401 or not (isinstance(body, bytes) or callable(body)):
            return reply
        reply.finish()
        self._token.forget(token)
        return self._send(method, target, body, {**headers, "Authorization": f"Bearer {self._token.get()}"})

    def _send(self, method: str, target: str, body: Body, headers: Mapping[str, str]) -> Reply:
        if callable(body):
            with _opened(body) as stream:
                return self._send(method, target, stream, headers)
        connection = self._pool.take()
        try:
            connection.request(method, target, body, dict(headers))
            return Reply(self._pool, connection, connection.getresponse())
        except ssl.SSLCertVerificationError as error:
            raise GcsError(f"{error}; does the image lack the package `ca-certificates`?") from error
        except BaseException:
            connection.close()
            raise
