"""Objects as checkpoints need them: beyond reading and writing, to hash on the way, to copy in place and to delete.

A checkpoint is sent file by file, and each file is read once: its digest is made of the bytes that leave. A file that
has not changed since the checkpoint before is copied by the store itself, so every checkpoint is complete in its own
folder and can be deleted without a thought for others (``checkpointing`` 3.5).
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast
from urllib.parse import quote

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.digests import Blocks, composite
from airflow_provider_kinetic.job.storage import FileStorage, ObjectMissing, Storage, path_to_uri, uri_to_path

BLOCK = 1 << 20

Take = Callable[[memoryview], object]
"""Gets bytes that are good until it returns."""


class Sent(NamedTuple):
    """What became of a file."""

    digest: str
    """Of the bytes that left (``digests``)."""
    version: str
    """Changes whenever the object does."""


class Vault(Storage, Protocol):
    """A storage that keeps checkpoints."""

    def send(self, path: Path, uri: str) -> Sent:
        """Store a file under its final name, whatever was there."""

    def fetch(self, uri: str, start: int, count: int, take: Take) -> int:
        """Hand over ``count`` bytes from ``start`` on, in order, and answer with the size of the whole object.

        Fewer where it is shorter. They are not compared with anything. Raises :class:`ObjectMissing`.
        """

    def copy(self, source: str, target: str, version: str) -> str | None:
        """The store copies ``source``; the copy's version. None: there is no such object of that version any more."""

    def tail(self, uri: str, start: int) -> bytes:
        """The bytes from ``start`` on; empty where there are none. Raises :class:`ObjectMissing`."""

    def folders(self, folder: str) -> list[str]:
        """Names of what lies directly below ``folder`` (no final ``/``) and holds something, finished or not."""

    def renew(self, uri: str) -> None:
        """Make an object young again, where the store deletes by age."""

    def delete(self, uri: str) -> None:
        """Nothing happens where there is none."""

    def delete_tree(self, folder: str) -> None:
        """Everything below ``folder`` (no final ``/``), also what was never finished."""


def open_vault(uri: str) -> Vault:
    """The vault that serves this URI's scheme, ``file://`` or ``gs://``."""
    scheme = uri.partition("://")[0]
    if scheme == "file":
        return FileVault()
    if scheme == "gs":
        from airflow_provider_kinetic.job.gcs_vault import vault  # HTTP and TLS: 50 ms that local jobs do not pay

        return vault()
    raise ValueError(f"No storage for {scheme}:// URIs in this job: {uri}")


def below(folder: str, path: str) -> str:
    """URI of a relative path below a folder's URI."""
    return f"{folder}/{quote(os.fsencode(path))}" if folder.startswith("file://") else f"{folder}/{path}"


def as_uri(directory: str | os.PathLike[str]) -> str:
    """An output directory as its URI, without a final slash."""
    text = os.fspath(directory)
    return (text if "://" in text else path_to_uri(text)).rstrip("/")


class FileVault(FileStorage):
    """Checkpoints as folders. A copy is another link to the same bytes, which nobody writes to again."""

    def send(self, path: Path, uri: str) -> Sent:
        digest = digests.of_file(path)
        self.upload(path, uri)
        return Sent(digest, _version(uri_to_path(uri).stat()))

    def fetch(self, uri: str, start: int, count: int, take: Take) -> int:
        with self.open(uri) as stream:
            stream.seek(start)
            _hand_over(stream, count, take)
            return os.fstat(stream.fileno()).st_size

    def copy(self, source: str, target: str, version: str) -> str | None:
        path = uri_to_path(source)
        try:
            if _version(path.stat()) != version:
                return None
            self.upload(path, target)
        except (FileNotFoundError, NotADirectoryError, ObjectMissing):
            return None
        return _version(uri_to_path(target).stat())

    def tail(self, uri: str, start: int) -> bytes:
        with self.open(uri) as stream:
            stream.seek(start)
            return stream.read()

    def folders(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(uri_to_path(folder)) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return []

    def renew(self, uri: str) -> None:
        """Files do not age."""

    def delete(self, uri: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            uri_to_path(uri).unlink()

    def delete_tree(self, folder: str) -> None:
        shutil.rmtree(uri_to_path(folder), ignore_errors=True)


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_size}"


def _hand_over(stream: BinaryIO | io.FileIO, count: int, take: Take) -> None:
    """So many bytes, or all there are, through one block."""
    block = memoryview(bytearray(min(count, BLOCK)))
    while count and (length := stream.readinto(block[:count]) or 0):  # type: ignore[union-attr]
        take(block[:length])
        count -= length


class Hashed:
    """The first ``size`` bytes of a file, with the digest of what was read so far, once or again from the middle."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._blocks = Blocks()
        self._known = 0

    def open(self, _mode: str = "rb") -> BinaryIO:
        """For a connection, which asks for a block at a time."""
        return cast(BinaryIO, _HashedStream(self))

    def as_path(self) -> Path:
        """For those who open it."""
        return cast(Path, self)

    def saw(self, start: int, data: memoryview) -> None:
        fresh = start + len(data) - self._known
        if fresh > 0:
            self._blocks.update(data[len(data) - fresh :])
            self._known += fresh

    @property
    def digest(self) -> str:
        return composite([self._blocks.digests])


class _HashedStream:
    """Its blocks are good until the next one is read: memory is taken once."""

    def __init__(self, file: Hashed) -> None:
        self._file = file
        self._stream = file.path.open("rb", buffering=0)
        self._block = memoryview(bytearray(min(file.size, BLOCK)))

    def __enter__(self) -> _HashedStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def read(self, size: int) -> memoryview:
        """:raises ValueError: the file has become shorter."""
        start = self._stream.tell()
        block = self._block[: min(size, self._file.size - start)]
        length = self._stream.readinto(block)
        if block and not length:
            raise ValueError(f"{self._file.path} has become shorter while it was sent")
        self._file.saw(start, block[:length])
        return block[:length]
