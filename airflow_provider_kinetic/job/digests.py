"""The digest of a file that many connections bring: none waits for the bytes before its own.

SHA-256 itself is made from front to back. So a file is cut into blocks, each has a SHA-256, and the digest of the file
is the SHA-256 of these in their order, as in the composite checksums of S3. ``split`` and ``openssl`` make it again::

    split --bytes=1M --filter='openssl dgst -sha256 -binary' FILE | sha256sum
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

BLOCK = 1 << 20
"""Bytes; the last block of a file may have fewer."""


class Blocks:
    """The digests of the blocks of a stream, which begins where a block does."""

    def __init__(self) -> None:
        self._ended: list[bytes] = []
        self._open = hashlib.sha256()
        self._left = BLOCK

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """What comes next, cut anywhere."""
        rest = memoryview(data)
        while rest:
            part = rest[: self._left]
            self._open.update(part)
            self._left -= len(part)
            rest = rest[len(part) :]
            if not self._left:
                self._ended.append(self._open.digest())
                self._open, self._left = hashlib.sha256(), BLOCK

    @property
    def digests(self) -> bytes:
        """Of all blocks so far, 32 bytes each."""
        return b"".join(self._ended) + (self._open.digest() if self._left < BLOCK else b"")


def composite(parts: Iterable[bytes]) -> str:
    """Hexadecimal, from the digests of all blocks of a file, in their order."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def of_bytes(data: bytes | bytearray) -> str:
    blocks = Blocks()
    blocks.update(data)
    return composite([blocks.digests])


def of_file(path: Path) -> str:
    blocks, block = Blocks(), memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as stream:
        while length := stream.readinto(block):
            blocks.update(block[:length])
    return composite([blocks.digests])
