"""Objects as the job sees them: a handful of calls by URI, with the standard library alone.

The local platform keeps objects as files. A write goes to a temporary file beside the target and
becomes visible by one rename (or, create-only, by one hard link, which fails when the name is taken),
so a reader sees a whole object or none, on any POSIX file system, also after ``kill -9``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol
from urllib.parse import quote, unquote_to_bytes

from airflow_provider_kinetic.job.exclusive import place

TEMPORARY = ".kinetic-tmp-"
"""Prefix of files that are being written; no listing shows them."""

_ATTEMPTS = 50


class ObjectMissing(Exception):
    """No object under this URI. An outcome that callers handle, not part of the user's error tree."""


class ObjectExists(Exception):
    """A create-only write found an object under this URI."""


class ObjectDamaged(OSError):
    """What arrived is not the object that is there: reading it once more may help."""


class Entry(NamedTuple):
    """One file of a tree, or a folder that is kept though nothing is in it."""

    uri: str
    name: str
    """Path below the tree's folder, with ``/``. A folder's ends in ``/``; that of the tree's own folder is empty."""
    size: int = 0
    updated: int = 0
    """Unix time in nanoseconds, by the store's clock."""

    @property
    def is_folder(self) -> bool:
        return not self.name or self.name.endswith("/")


class Storage(Protocol):
    """What the runner needs of an object store. ``if_absent`` raises :class:`ObjectExists`."""

    def open(self, uri: str) -> BinaryIO:
        """A stream to read from; the caller closes it. Raises :class:`ObjectMissing`."""

    def read(self, uri: str) -> bytes: ...

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None: ...

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None: ...

    def list(self, prefix: str) -> list[str]:
        """URIs that start with ``prefix`` (a folder ends in ``/``), in name order."""

    def entry(self, uri: str) -> Entry | None:
        """The object of this URI under its base name; None where there is none."""

    def tree(self, folder: str, *, numbered: bool = False) -> Iterator[Entry]:
        """What lies below ``folder`` (no final ``/``), in no order; nothing where there is no such folder.

        :param numbered: only what begins with a digit there, at the price of that alone.
        """


def path_to_uri(path: str | os.PathLike[str]) -> str:
    """``file://`` URI, without a final slash, of an absolute or relative path."""
    return "file://" + quote(os.fsencode(os.path.abspath(path)))  # noqa: PTH100 (keeps symlinks as they are)


def uri_to_path(uri: str) -> Path:
    """The path behind a ``file://`` URI; ``?`` and ``#`` mean themselves. Raises ValueError for anything else."""
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    if scheme != "file" or host not in ("", "localhost") or not slash:
        raise ValueError(f"{uri!r} is not a file:// URI of this machine")
    return Path(os.fsdecode(unquote_to_bytes(slash + path)))


def files_under(prefix: str, *, after: str = "", before: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Finished files whose URI starts with ``prefix``, sorts behind ``after`` and before ``before``, in no order.

    Folders that cannot hold such a file are not entered, links to folders neither, and no file is touched: a poll for
    new log chunks costs one listing of their folder.
    """
    folder, _, stem = prefix.rpartition("/")
    pending = [(uri_to_path(f"{folder}/"), f"{folder}/", quote(unquote_to_bytes(stem)))]
    while pending:
        path, base, stem = pending.pop()
        for entry in _entries(path):
            uri = base + quote(os.fsencode(entry.name))
            if not uri.startswith(stem, len(base)) or is_temporary(entry.name) or (before and uri >= before):
                continue
            if entry.is_dir(follow_symlinks=False):
                below = f"{uri}/"
                if below > after or after.startswith(below):
                    pending.append((Path(entry.path), below, ""))
            elif uri > after and entry.is_file():
                yield uri, entry


def is_temporary(name: str) -> bool:
    """A file that is being written, or was when its writer died."""
    return name.startswith(TEMPORARY)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file, or a folder that went away before mkdir looked what it is
        reason = errno.ENOTDIR if folder.exists() else errno.ENOENT
        raise OSError(reason, os.strerror(reason), str(folder)) from None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entry(uri: str, name: str, facts: os.stat_result) -> Entry:
    return Entry(uri, name, facts.st_size, facts.st_mtime_ns)


def open_storage(uri: str) -> Storage:
    """The storage that serves this URI's scheme."""
    scheme = uri.partition("://")[0]
    if scheme == "file":
        return FileStorage()
    if scheme == "gs":
        from airflow_provider_kinetic.job.gcs import storage  # HTTP and TLS: 50 ms that local jobs do not pay

        return storage()
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
        def fill(temporary: Path) -> None:
            temporary.write_bytes(data)

        self._publish(uri, if_absent, fill)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        """By hard link where the file system allows it: no byte is copied."""
        source = os.path.realpath(path)  # os.link would take a symbolic link for the file

        def fill(temporary: Path) -> None:
            try:
                temporary.unlink()
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)

        self._publish(uri, if_absent, fill)

    def list(self, prefix: str) -> list[str]:
        return sorted(uri for uri, _ in files_under(prefix))

    def entry(self, uri: str) -> Entry | None:
        path = uri_to_path(uri)
        return _entry(uri, path.name, path.stat()) if path.is_file() else None

    def tree(self, folder: str, *, numbered: bool = False) -> Iterator[Entry]:
        """Links to folders are no part of it, as they are none of a content hash (contract 11.2)."""
        pending = [(folder, "")]
        while pending:
            uri, name = pending.pop()
            if uri_to_path(uri).is_dir():
                yield Entry(f"{uri}/", name)
            for each in _entries(uri_to_path(uri)):
                if numbered and not name and not "0" <= each.name[:1] <= "9":
                    continue
                below, path = f"{uri}/{quote(os.fsencode(each.name))}", f"{name}{each.name}"
                if each.is_dir(follow_symlinks=False):
                    pending.append((below, f"{path}/"))
                elif each.is_file() and not is_temporary(each.name):
                    yield _entry(below, path, each.stat())

    def _publish(self, uri: str, if_absent: bool, fill: Callable[[Path], None]) -> None:
        """Again when the folder went away meanwhile: somebody clears the prefix at this moment."""
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(FileNotFoundError):
                return self._publish_once(uri, if_absent, fill)
        return self._publish_once(uri, if_absent, fill)

    def _publish_once(self, uri: str, if_absent: bool, fill: Callable[[Path], None]) -> None:
        target = uri_to_path(uri)
        _make_folder(target.parent)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            fill(temporary)
            if if_absent:
                place(temporary, target)
            else:
                temporary.replace(target)
        except FileExistsError:
            raise ObjectExists(uri) from None
        finally:
            temporary.unlink(missing_ok=True)
