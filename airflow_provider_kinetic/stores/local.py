"""Objects as files, for the local platform.

The job writes its objects with ``job.storage``, and this store is the same code on the other side, so
both agree on what a whole object is. Added here: what only the Airflow side needs (sizes and times,
copies, deletion) and errors that tell a person what to do.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from airflow_provider_kinetic.job.storage import (
    TEMPORARY,
    FileStorage,
    ObjectMissing,
    files_under,
    is_temporary,
    uri_to_path,
)
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreError
from airflow_provider_kinetic.packaging.data_read import OpenData
from airflow_provider_kinetic.packaging.data_tree import DataFile
from airflow_provider_kinetic.stores.base import NOTHING, ObjectExists, ObjectInfo, Report

_CHUNK = 1 << 20

_ADVICE = {
    errno.ENOSPC: "Free some space there (`airflow kinetic gc` removes what finished jobs left).",
    errno.EDQUOT: "Free some space there (`airflow kinetic gc` removes what finished jobs left), or raise the quota.",
    errno.ENAMETOOLONG: "Choose a shorter `job_id` or `output_dir`.",
}
_NAME_ANOTHER = (
    "Let the user that runs Airflow read and write there, or name another folder: `output_dir` of the task for outputs,"
    " `bucket` and `output_root` of the connection for everything else."
)


class LocalStore:
    """The ``Store`` port over the file system of this machine.

    An empty object whose URI ends in ``/`` is a folder here, which no listing shows.
    """

    scheme = "file"

    def __init__(self) -> None:
        self._files = FileStorage()

    def read(self, uri: str) -> bytes:
        with _explained("read", uri):
            return self._files.read(uri)

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        with _explained("write", uri):
            if uri.endswith("/") and not data:
                uri_to_path(uri).mkdir(parents=True, exist_ok=True)
                return
            self._files.write(uri, data, if_absent=if_absent)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        with _explained("write", uri):
            self._files.upload(path, uri, if_absent=if_absent)

    def upload_many(
        self,
        files: Iterable[tuple[DataFile, str]],
        *,
        there: Mapping[str, ObjectInfo] = NOTHING,
        report: Report | None = None,
    ) -> int:
        """One after the other: a disk is no faster for several. Only sizes are compared: there are no halves here."""
        done = sent = size = 0
        for file, uri in files:
            known = there.get(uri)
            if known is None or known.size != file.size:
                sent += 1
                for at in self._copy_in(file, uri):
                    if report:
                        report(done, size + at)
            done, size = done + 1, size + file.size
            if report:
                report(done, size)
        return sent

    def _copy_in(self, file: DataFile, uri: str) -> Iterator[int]:
        """Bytes so far."""
        with _explained("write", uri):
            target, at = uri_to_path(uri), 0
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(prefix=TEMPORARY, dir=target.parent) as copy, OpenData(file) as source:
                for block in source.blocks(0, file.size, _CHUNK):
                    copy.write(block)
                    at += len(block)
                    yield at
                source.check()
                copy.flush()
                try:
                    self._files.upload(Path(copy.name), uri, if_absent=True)
                except ObjectExists:
                    if target.stat().st_size != file.size:
                        self._files.upload(Path(copy.name), uri)

    def download(self, uri: str, path: Path) -> None:
        with _explained("read", uri), self._files.open(uri) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)

    def stat(self, uri: str) -> ObjectInfo | None:
        with _explained("look at", uri):
            path = uri_to_path(uri)
            try:
                there = path.is_dir() if uri.endswith("/") else path.is_file()
                return _info(uri, path.stat()) if there else None
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(
        self, prefix: str, *, after: str = "", before: str = "", limit: int | None = None
    ) -> builtins.list[ObjectInfo]:
        found = []
        with _explained("list", prefix):
            for uri, entry in files_under(prefix, after=after, before=before):
                with contextlib.suppress(FileNotFoundError):  # deleted since
                    found.append(_info(uri, entry.stat()))
        return sorted(found, key=lambda info: info.uri)[:limit]

    def now(self, uri: str) -> float:
        with _explained("look at", uri):
            uri_to_path(uri)
        return time.time()

    def copy(self, source: str, target: str) -> None:
        with _explained("copy", source):
            path = uri_to_path(source)
            if not path.is_file():
                raise ObjectMissing(source)
        self.upload(path, target)

    def delete(self, uri: str) -> None:
        with _explained("delete", uri), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            uri_to_path(uri).unlink()

    def delete_prefix(self, prefix: str) -> int:
        """Also takes away the folders that this leaves empty, the prefix's own among them."""
        deleted = 0
        with _explained("delete", prefix):
            if uri_to_path(prefix).parent == Path(uri_to_path(prefix).anchor):
                raise ConfigurationError(
                    f"Refusing to delete everything under {prefix}",
                    advice="A prefix to delete names a folder at least two levels below the root of the file system.",
                )
            for _, entry in files_under(prefix):
                with contextlib.suppress(FileNotFoundError):
                    Path(entry.path).unlink()
                    deleted += 1
            _remove_empty_folders(prefix)
        return deleted


def _info(uri: str, status: os.stat_result) -> ObjectInfo:
    # An upload by hard link keeps the time of the file's content; the inode's own time is when it became an object.
    size = 0 if uri.endswith("/") else status.st_size
    return ObjectInfo(uri=uri, size=size, updated=status.st_ctime, created=status.st_ctime)


def _remove_empty_folders(prefix: str) -> None:
    path = uri_to_path(prefix)
    tops = [path] if prefix.endswith("/") else list(path.parent.glob(glob.escape(path.name) + "*"))
    for top in tops:
        for base, _, names in os.walk(top, topdown=False):
            for leftover in filter(is_temporary, names):  # of writers that were killed
                Path(base, leftover).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                Path(base).rmdir()


@contextlib.contextmanager
def _explained(verb: str, uri: str) -> Iterator[None]:
    """Errors of the operating system as this provider's errors."""
    try:
        yield
    except ValueError:
        raise ConfigurationError(
            f"Cannot {verb} {uri}: the local platform keeps its objects in file:// URIs",
            advice="Give `output_dir`, `bucket` and `output_root` as file:///folder, or use another `platform`.",
        ) from None
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise StoreError(
            f"Cannot {verb} {uri}: {error.strerror or error}{place}",
            advice=_ADVICE.get(error.errno or 0, _NAME_ANOTHER),
        ) from error
