"""Files that arrive in parts, over several connections at once, and are hashed in order.

One connection gives a fraction of what a machine can take, so a large file comes over many. A digest is made from front
to back: whoever brings the part that was waited for hashes it, and those behind it that are there already.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path

from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.vaults import BLOCK, Vault

PART = 16 << 20
"""Bytes that one connection brings at a time."""
CONNECTIONS = 32
"""At once, with a block of half a megabyte each."""


class Arrival:
    """One file on its way to ``path``; its parts are fetched by any threads in any order, each once."""

    def __init__(self, vault: Vault, uri: str, file: File, path: Path) -> None:
        self._vault = vault
        self._uri = uri
        self.file = file
        self._path = path
        self.parts = range(0, max(1, file.size), PART)
        """Where each begins."""
        self._sizes: set[int] = set()
        self._digest = hashlib.sha256()
        self._there: set[int] = set()
        self._next = 0
        self._hashing = threading.Lock()

    @property
    def whole(self) -> bool:
        """All that came is what was sent. To be asked when every part is there."""
        return self._sizes == {self.file.size} and self._digest.hexdigest() == self.file.sha256

    def fetch(self, start: int) -> None:
        """:raises ObjectMissing: the file is gone."""
        count = min(PART, self.file.size - start)
        alone = len(self.parts) == 1
        with io.BufferedWriter(io.FileIO(self._path, "wb", opener=_opened)) as sink:
            sink.seek(start)

            def take(block: memoryview) -> None:
                sink.write(block)
                if alone:
                    self._digest.update(block)

            self._sizes.add(self._vault.fetch(self._uri, start, count, take))
        if not alone:
            self._arrived(start)

    def _arrived(self, start: int) -> None:
        """Who finds the lock taken leaves the rest to its holder, which looks once more after it has let go."""
        self._there.add(start)
        while self._next in self._there and self._hashing.acquire(blocking=False):
            try:
                while self._next in self._there:
                    self._hash(self._next)
                    self._next += PART
            finally:
                self._hashing.release()

    def _hash(self, start: int) -> None:
        """From the page cache, where it is still."""
        block, left = memoryview(bytearray(BLOCK)), PART
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(start)
            while left and (length := stream.readinto(block[:left])):
                self._digest.update(block[:length])
                left -= length


def _opened(path: str, _flags: int) -> int:
    """To write into the middle of a file: nothing is cut off."""
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
