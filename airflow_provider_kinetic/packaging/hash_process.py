"""Small files hashed by a process of its own.

For a small file the system calls and the hash take a microsecond or two each, after every one of which a thread has to
get Python's lock back: two threads are no faster than one. Two processes are. This file is also the program that such
a process runs, so it needs the standard library alone; with few imports it starts in 10 ms.

The process is given names and gives back digests, and what ``stat`` says of each file after it was read.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import IO

_LENGTH = struct.Struct("<q")
_ROW = struct.Struct("<32sqqQ")
_SECONDS = struct.Struct("<d")
_FIRST_READ = 16 * 1024
_BLOCK = 256 * 1024

Row = tuple[bytes, int, int, int]
"""Digest, size, ``mtime_ns``, inode; a size of -1 where the file could not be read."""


class HashProcess:
    """One process for files below one folder; with ``with``.

    :raises OSError: it cannot be started.
    """

    def __init__(self, root: str) -> None:
        command = [sys.executable, "-I", "-S", __file__, root]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.seconds = 0.0
        """Of processor time that it has used, or waited for, so far."""

    def __enter__(self) -> HashProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def rows(self, names: Iterable[str]) -> Iterator[Row]:
        """Of files by their relative paths, in their order: SHA-256 of path, NUL and content (contract 11.2).

        :raises OSError, EOFError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = [name.encode() for name in names]
        question, size = b"\0".join(asked), len(asked) * _ROW.size
        self._process.stdin.write(_LENGTH.pack(len(question)) + question)
        self._process.stdin.flush()
        answer = self._process.stdout.read(size + _SECONDS.size)
        if len(answer) != size + _SECONDS.size:
            raise EOFError("the process that hashes has ended")
        (self.seconds,) = _SECONDS.unpack_from(answer, size)
        return _ROW.iter_unpack(memoryview(answer)[:size])


def main() -> None:
    """Until there is nothing more to read, which is also so when the other side has died."""
    received, answers = sys.stdin.buffer, sys.stdout.buffer
    root = os.fsencode(sys.argv[1] + os.sep)
    while names := _receive(received):
        answers.write(b"".join([_row(root + name, name) for name in names.split(b"\0")]))
        answers.write(_SECONDS.pack(_wanted()))
        answers.flush()


def _wanted() -> float:
    """Seconds of this process on a processor, and ready without one."""
    try:
        with open("/proc/self/schedstat", "rb") as file:  # noqa: PTH123 (without imports)
            return sum(map(int, file.read().split()[:2])) / 1e9
    except (OSError, ValueError):
        return sum(os.times()[:2])


def _receive(stream: IO[bytes]) -> bytes:
    head = stream.read(_LENGTH.size)
    return stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""


def _row(path: bytes, name: bytes) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = os.read(descriptor, _FIRST_READ)
            if len(data) == _FIRST_READ:
                data += b"".join(iter(lambda: os.read(descriptor, _BLOCK), b""))
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return _ROW.pack(b"", -1, 0, 0)
    size = found.st_size if found.st_size == len(data) else -1
    return _ROW.pack(hashlib.sha256(name + b"\0" + data).digest(), size, found.st_mtime_ns, found.st_ino)


if __name__ == "__main__":
    main()
