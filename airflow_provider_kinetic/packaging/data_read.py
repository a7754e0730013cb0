"""Reading a file that was listed before and whose hash is known: it must still be the same file.

Errors of the disk become the user's here, so whoever sends what is read can tell them from errors of a network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from airflow_provider_kinetic.packaging.data_tree import DataFile, changed, refusal

BLOCK = 256 * 1024
"""Bytes read at once: stays in a core's cache between reading, summing and sending."""

_T = TypeVar("_T")


class OpenData:
    """An open file; with ``with``.

    :raises ConfigurationError: it may not be read.
    :raises InfrastructureError: the disk failed. :meth:`blocks` and :meth:`check`: it is another file now.
    """

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self._descriptor = self._explained(
            lambda: os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # not even by a pipe
        )

    def __enter__(self) -> OpenData:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self) -> bytes:
        """All of a small file, if it is the one that was listed."""
        data = b"".join(self.blocks(0, self.file.size, max(self.file.size, 1)))
        self.check()
        return data

    def blocks(self, start: int, end: int, block: int = BLOCK) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``end``."""
        while start < end:
            data = self._pread(min(block, end - start), start)
            if not data:
                raise changed(self.file.path)
            start += len(data)
            yield data

    def check(self) -> None:
        """After reading: whether it is the file that was listed."""
        if not self.file.is_unchanged(self._explained(lambda: os.fstat(self._descriptor))):
            raise changed(self.file.path)

    def _pread(self, count: int, at: int) -> bytes:
        return self._explained(lambda: os.pread(self._descriptor, count, at))

    def _explained(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except OSError as error:
            raise refusal(self.file.path, error) from error
