"""Objects as the job sees them: a handful of calls by URI, with the standard library alone.

The local platform keeps objects as files. A write goes to a temporary file beside the target and
becomes visible by one rename (or, create-only, by one hard link, which fails when the name is taken),
so a reader sees a whole object or none, on any POSIX file system, also after ``kill -9``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote, unquote, urlsplit

TEMPORARY = ".kinetic-tmp-"
"""Prefix of files that are being written; no listing shows them."""


class ObjectMissing(Exception):
    """No object under this URI. An outcome that callers handle, not part of the user's error tree."""


class ObjectExists(Exception):
    """A create-only write found an object under this URI."""


class Storage(Protocol):
    """What the runner needs of an object store. ``if_absent`` raises :class:`ObjectExists`."""

    def open(self, uri: str) -> BinaryIO:
        """A stream to read from; the caller closes it. Raises :class:`ObjectMissing`."""

    def read(self, uri: str) -> bytes: ...

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None: ...

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None: ...

    def list(self, prefix: str) -> list[str]:
        """URIs that start with ``prefix`` (a folder ends in ``/``), in name order."""


def path_to_uri(path: str | os.PathLike[str]) -> str:
    """``file://`` URI, without a final slash, of an absolute or relative path."""
    return "file://" + quote(os.path.abspath(os.fspath(path)))  # noqa: PTH100 (keeps symlinks as they are)


def uri_to_path(uri: str) -> Path:
    """The path behind a ``file://`` URI."""
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ValueError(f"{uri!r} is not a file:// URI of this machine")
    return Path(unquote(parts.path + (f"?{parts.query}" if parts.query else "")))


def open_storage(uri: str) -> Storage:
    """The storage that serves this URI's scheme."""
    scheme = uri.partition("://")[0]
    if scheme == "file":
        return FileStorage()
    raise ValueError(f"No storage for {scheme}:// URIs in this job: {uri}")


class FileStorage:
    """Objects as files below any folder."""

    def open(self, uri: str) -> BinaryIO:
        try:
            return uri_to_path(uri).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectMissing(uri) from None

    def read(self, uri: str) -> bytes:
        with self.open(uri) as stream:
            return stream.read()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        with self._whole(uri, if_absent) as temporary:
            temporary.write_bytes(data)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        """By hard link where the file system allows it: no byte is copied."""
        with self._whole(uri, if_absent) as temporary:
            try:
                temporary.unlink()
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)

    def list(self, prefix: str) -> list[str]:
        folder, stem = prefix.rsplit("/", 1)
        root = uri_to_path(folder)
        found = (
            path_to_uri(Path(base) / name)
            for base, _, names in os.walk(root)
            for name in names
            if not name.startswith(TEMPORARY)
        )
        return sorted(uri for uri in found if uri.startswith(f"{folder}/{stem}"))

    @contextlib.contextmanager
    def _whole(self, uri: str, if_absent: bool) -> Iterator[Path]:
        target = uri_to_path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if if_absent:
                os.link(temporary, target)
            else:
                temporary.replace(target)
        except FileExistsError:
            raise ObjectExists(uri) from None
        finally:
            temporary.unlink(missing_ok=True)
