"""HTTPS on loopback, a thread for each connection; connections can be cut and the server can be away."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kube.api import Answer, Dropped

Respond = Callable[[str, str, Any, bytes, Callable[[], bool]], Answer]


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    allow_reuse_port = True

    def __init__(self, context: ssl.SSLContext, respond: Respond, date: Callable[[], str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond = respond
        self.date = date
        self._context = context
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="kube-http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def away(self, seconds: float) -> None:
        """Resets every connection, and refuses new ones until ``seconds`` have passed. The port stays bound."""
        silent = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            silent.setsockopt(socket.SOL_SOCKET, option, 1)
        silent.bind(self.server_address)  # while the other still is, so that nobody takes the port in between
        self._stop()
        self.socket = silent
        self.cut()
        self._thread = threading.Thread(target=self._come_back, args=(seconds,), name="kube-http", daemon=True)
        self._thread.start()

    def _come_back(self, seconds: float) -> None:
        if not self._closing.wait(seconds):
            self.socket.listen(self.request_queue_size)
            self.serve_forever(0.02)

    def _stop(self) -> None:
        self._closing.set()
        self.shutdown()
        self._thread.join()
        self.socket.close()
        self._closing.clear()

    def cut(self) -> None:
        """Resets every connection that is open."""
        with self._lock:
            for connection in self._connections:
                _reset(connection)

    def close(self) -> None:
        self._stop()
        self.cut()
        until = time.monotonic() + 5
        while self._connections and time.monotonic() < until:
            time.sleep(0.01)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        try:
            connection = self._context.wrap_socket(request, server_side=True)
        except OSError:
            return
        connection.settimeout(None)
        with self._lock:
            self._connections.add(connection)
        try:
            Handler(connection, client_address, self)
        except OSError:
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except Dropped:
            _reset(self.connection)
            self.close_connection = True
        except (OSError, ValueError):
            self.close_connection = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.respond(self.command, self.path, self.headers, body, self._gone)
        if isinstance(answer.body, bytes):
            self._send_whole(answer, answer.body)
        else:
            self._send_chunks(answer, answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _head(self, answer: Answer, length: str) -> bytes:
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}"]
        lines += [f"Date: {self.server.date()}", f"Content-Type: {answer.content_type}", length]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def _send_whole(self, answer: Answer, body: bytes) -> None:
        if answer.cut:
            self.wfile.write(self._head(answer, f"Content-Length: {len(body)}") + body[: len(body) // 2])
            raise Dropped
        self.wfile.write(self._head(answer, f"Content-Length: {len(body)}") + body)

    def _send_chunks(self, answer: Answer, parts: Iterator[bytes]) -> None:
        with contextlib.closing(parts):  # type: ignore[type-var]
            self.wfile.write(self._head(answer, "Transfer-Encoding: chunked"))
            for part in parts:
                if part:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")

    def _gone(self) -> bool:
        """While an answer is under way a client sends nothing: what can be read is its end."""
        poll = select.poll()  # ``select()`` knows no descriptor above 1023
        try:
            poll.register(self.connection, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in memory."""


def _linger(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        _linger(connection)
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
