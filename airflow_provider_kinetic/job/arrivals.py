"""Files that arrive in parts, over several connections at once, each hashed by the thread that brings it.

One connection gives a fraction of what a machine can take, so a large file comes over many. Bytes are hashed while they
pass, none is read again, and when the last part is there its digest is, too (``digests``).
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.digests import Blocks
from airflow_provider_kinetic.job.training.checkpoints import THREADS
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.vaults import Vault

LEAST, MOST = 4 << 20, 16 << 20
"""Bytes of a part."""
ROUNDS = 4
"""Parts for each connection, so that none is idle for long at the end."""


def part_of(total: int) -> int:
    """Bytes that one connection brings at a time, of so many in all: whole blocks. Each part waits for a round trip."""
    return min(max(LEAST, total // (ROUNDS * THREADS) // digests.BLOCK * digests.BLOCK), MOST)


class Arrival:
    """One file on its way to ``path``; its parts are fetched by any threads in any order, each once.

    :param part: bytes of each but the last: whole blocks, so that their digests make that of the file.
    """

    def __init__(self, vault: Vault, uri: str, file: File, path: Path, part: int) -> None:
        self._vault = vault
        self._uri = uri
        self.file = file
        self._path = path
        self._part = part
        self.parts = range(0, max(1, file.size), part)
        """Where each begins."""
        self._sizes: set[int] = set()
        self._digests: dict[int, bytes] = {}

    @property
    def whole(self) -> bool:
        """All that came is what was sent, where its digest is known. To be asked when every part is there."""
        arrived = digests.composite(self._digests[start] for start in self.parts)
        return self._sizes == {self.file.size} and self.file.digest in ("", arrived)

    def fetch(self, start: int) -> None:
        """:raises ObjectMissing: the file is gone."""
        blocks = Blocks()
        with io.BufferedWriter(io.FileIO(self._path, "wb", opener=_opened)) as sink:
            sink.seek(start)

            def take(block: memoryview) -> None:
                sink.write(block)
                blocks.update(block)

            count = min(self._part, self.file.size - start)
            self._sizes.add(self._vault.fetch(self._uri, start, count, take))
        self._digests[start] = blocks.digests


def _opened(path: str, _flags: int) -> int:
    """To write into the middle of a file: nothing is cut off."""
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
