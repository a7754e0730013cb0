"""The benchmark's side of its processes: one API server for all, a fresh triggerer loop for each measurement."""

from __future__ import annotations

import multiprocessing
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from support import api_server, loop
from support.api_server import Place
from support.contenders import Contender

_SPAWN = multiprocessing.get_context("spawn")
_JOB = re.compile(rb"job-[0-9a-f]{16}")
_ALARMS = (b'"level":"warning"', b'"level":"error"', b'"level":"critical"')


class Broken(Exception):
    """A measurement that cannot count."""


class Process:
    """A process that answers orders one by one."""

    def __init__(self, control: Connection, process: Any) -> None:
        self._control = control
        self._process = process

    def ask(self, *order: Any) -> Any:
        self.order(*order)
        return self.answer()

    def order(self, *order: Any) -> None:
        self._control.send(order)

    def answer(self) -> Any:
        try:
            return self._control.recv()
        except EOFError:
            raise Broken(f"{self._process.name} has ended") from None

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def end(self) -> None:
        self._process.terminate()
        self._process.join()


class Supervisor:
    """Reads the log of a loop, as the triggerer's supervisor does; ``seen``: the jobs that it says ``phrase`` of."""

    def __init__(self, log: socket.socket, phrase: bytes) -> None:
        self.seen: set[bytes] = set()
        self.alarms: list[str] = []
        self.lines = 0
        self._phrase = phrase
        self._thread = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._thread.start()

    def _read(self, log: socket.socket) -> None:
        rest = b""
        with log:
            while data := log.recv(1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                self.lines += len(lines)
                self.seen.update(_JOB.findall(b" ".join(line for line in lines if self._phrase in line)))
                self.alarms += [line.decode() for line in lines if any(word in line for word in _ALARMS)][:20]


@contextmanager
def server(folder: Path) -> Iterator[tuple[Process, Place]]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=api_server.serve, args=(theirs, folder), name="API server", daemon=True)
    process.start()
    theirs.close()
    running = Process(ours, process)
    try:
        yield running, running.answer()
    finally:
        running.end()


@contextmanager
def triggerer(contender: Contender, place: Place, environ: dict[str, str]) -> Iterator[tuple[Process, Supervisor]]:
    ours, theirs = _SPAWN.Pipe()
    read, write = socket.socketpair()
    arguments = (theirs, write, contender.title, place, environ)
    process = _SPAWN.Process(target=loop.run, args=arguments, name=f"loop of {contender.title}", daemon=True)
    process.start()
    write.close()
    theirs.close()
    running, supervisor = Process(ours, process), Supervisor(read, contender.looked)
    try:
        assert running.answer() == "ready"
        yield running, supervisor
    finally:
        running.end()


def until(what: str, true: Any, patience: float) -> None:
    end = time.monotonic() + patience
    while not true():
        if time.monotonic() > end:
            raise Broken(f"{what}: not within {patience:g} s")
        time.sleep(0.05)
