"""Files that arrive in parts, over several connections at once, and are hashed in order.

One connection gives a fraction of what a machine can take, so a large file comes over many. A digest is made from front
to back: the part that is waited for is hashed while it comes, and then, by threads that fetch nothing, those behind it
that are there already. No connection is idle while its thread hashes.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from airflow_provider_kinetic.job.training.checkpoints import THREADS
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.vaults import BLOCK, Vault

LEAST, MOST = 4 << 20, 16 << 20
"""Bytes of a part."""
ROUNDS = 4
"""Parts for each connection, so that none is idle for long at the end and little is left to be hashed then."""


def part_of(total: int) -> int:
    """Bytes that one connection brings at a time, of so many in all. Each part waits for a round trip."""
    return min(max(LEAST, total // (ROUNDS * THREADS) >> 20 << 20), MOST)


class Arrival:
    """One file on its way to ``path``; its parts are fetched by any threads in any order, each once."""

    def __init__(self, vault: Vault, uri: str, file: File, path: Path, part: int, hashing: ThreadPoolExecutor) -> None:
        self._vault = vault
        self._uri = uri
        self.file = file
        self._path = path
        self._part = part
        self.parts = range(0, max(1, file.size), part)
        """Where each begins."""
        self._sizes: set[int] = set()
        self._digest = hashlib.sha256()
        self._there: set[int] = set()
        self._next = 0
        self._pool = hashing
        self._hashing = threading.Lock()
        self._hashed: list[Future[None]] = []

    @property
    def whole(self) -> bool:
        """All that came is what was sent. To be asked when every part is there."""
        for each in self._hashed:
            each.result()
        return self._sizes == {self.file.size} and self._digest.hexdigest() == self.file.sha256

    def fetch(self, start: int) -> None:
        """:raises ObjectMissing: the file is gone."""
        waited_for = start == self._next and self._hashing.acquire(blocking=False)
        try:
            self._bring(start, waited_for)
            if waited_for:
                self._next += self._part
            else:
                self._there.add(start)
        finally:
            if waited_for:
                self._hashing.release()
        if self._next in self._there:
            self._hashed.append(self._pool.submit(self._catch_up))

    def _bring(self, start: int, hashed: bool) -> None:
        with io.BufferedWriter(io.FileIO(self._path, "wb", opener=_opened)) as sink:
            sink.seek(start)

            def take(block: memoryview) -> None:
                sink.write(block)
                if hashed:
                    self._digest.update(block)

            count = min(self._part, self.file.size - start)
            self._sizes.add(self._vault.fetch(self._uri, start, count, take))

    def _catch_up(self) -> None:
        """Who finds the lock taken leaves the rest to its holder, which looks once more after it has let go."""
        while self._next in self._there and self._hashing.acquire(blocking=False):
            try:
                while self._next in self._there:
                    self._hash(self._next)
                    self._next += self._part
            finally:
                self._hashing.release()

    def _hash(self, start: int) -> None:
        """From the page cache, where it is still."""
        block, left = memoryview(bytearray(BLOCK)), self._part
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(start)
            while left and (length := stream.readinto(block[:left])):
                self._digest.update(block[:length])
                left -= length


def _opened(path: str, _flags: int) -> int:
    """To write into the middle of a file: nothing is cut off."""
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
