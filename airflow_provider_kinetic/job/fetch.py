"""Files of a tree in a store, copied into a folder of the job: many at once, each whole or not at all.

A file is written beside its name and renamed when it is complete, and gets the time of its object. So whoever comes
again, after a failure or in the next attempt, knows by size and time what is complete and copies the rest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job.progress import Amount, Progress, size_text
from airflow_provider_kinetic.job.storage import TEMPORARY, Entry, ObjectDamaged, ObjectMissing, Storage

THREADS = 16
TRIES = 3
"""Of one file that arrived damaged or was replaced meanwhile; broken connections are the storage's own business."""
BLOCK = 1 << 20

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class _Stopped(Exception):
    """Another thread has failed."""


def fetch(what: str, entries: Sequence[Entry], storage: Storage, folder: Path, say: Callable[[str], None]) -> None:
    """Make ``folder`` hold ``entries``. What else is there stays.

    :param what: in words, for lines and errors: the URI that the user named.
    :raises RuntimeError: a name that no file can have, a full disk, a missing permission, or the storage failed.
    """
    targets = [(entry, _target(folder, entry)) for entry in entries]
    files = [(entry, target) for entry, target in targets if not entry.is_folder]
    with explained(what, folder):
        _make_folders({target if entry.is_folder else target.parent for entry, target in targets} | {folder})
        missing = [(entry, target) for entry, target in files if not _complete(entry, target)]
        total = _amount(files)
        progress = Progress(f"Downloading {what}", total, say, done=_difference(total, _amount(missing)))
        _check_room(what, folder, missing)
        _Crew(missing, storage, progress).work()
    progress.end()


@contextlib.contextmanager
def explained(what: str, folder: Path) -> Iterator[None]:
    """Errors of disks and stores as one sentence with the way out.

    :raises RuntimeError: in the place of any :class:`OSError`, and of what was stored compressed and is damaged.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        where = f"{what} could not be put into {folder}"
        code = getattr(error, "errno", None)
        if code in _FULL:
            raise RuntimeError(f"{where}: the disk is full. {_MORE_ROOM}") from error
        if code in _REFUSED and _is_about(error, folder):
            raise RuntimeError(
                f"{where}: {error}. Name a path that the job's user can write to, or pass the Data as an argument."
            ) from error
        raise RuntimeError(f"{where}: {error}") from error
    except ObjectMissing as error:
        raise RuntimeError(f"{what} changed while it was read: {error} is gone") from error


def _is_about(error: BaseException, folder: Path) -> bool:
    """The folder, something in it, or one that it lies in; not what is read."""
    named = Path(getattr(error, "filename", None) or folder)
    return folder in named.parents or named in (folder, *folder.parents)


_MORE_ROOM = (
    "Give the job more disk (`requests={'ephemeral-storage': '100Gi'}`, or TMPDIR on this machine), or mount the data "
    "with `fuse=True`."
)


def _check_room(what: str, folder: Path, missing: Sequence[tuple[Entry, Path]]) -> None:
    needed, free = _amount(missing).bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise RuntimeError(
            f"{what} needs {size_text(needed)} and {size_text(free)} are free in {folder}: the disk is too small. "
            + _MORE_ROOM
        )


class _Crew:
    """Threads that share the work until it is done or one of them fails."""

    def __init__(self, files: Sequence[tuple[Entry, Path]], storage: Storage, progress: Progress) -> None:
        self._files = iter(files)
        self._count = min(THREADS, len(files))
        self._storage = storage
        self._progress = progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._errors: list[BaseException] = []

    def work(self) -> None:
        """:raises OSError: of the first thread that failed; also :class:`ObjectMissing`."""
        threads = [threading.Thread(target=self._one, name=f"download-{n}", daemon=True) for n in range(self._count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive() and not self._errors:
                    thread.join(0.5)
                    self._progress.tick()
        finally:
            self._stop.set()
        if self._errors:
            give_up = time.monotonic() + 5  # those that wait for the network may take longer; they write no more
            for thread in threads:
                thread.join(max(0.0, give_up - time.monotonic()))
            raise self._errors[0]

    def _one(self) -> None:
        block = memoryview(bytearray(BLOCK))
        try:
            while (file := self._next()) is not None:
                self._copy(*file, block)
                self._progress.add(files=1)
        except _Stopped:
            return
        except BaseException as error:
            self._errors.append(error)
            self._stop.set()

    def _next(self) -> tuple[Entry, Path] | None:
        with self._lock:
            return None if self._stop.is_set() else next(self._files, None)

    def _copy(self, entry: Entry, target: Path, block: memoryview) -> None:
        temporary = target.with_name(f"{TEMPORARY}{os.urandom(8).hex()}")
        try:
            for left in reversed(range(TRIES)):
                try:
                    self._write(entry, temporary, block)
                    break
                except (ObjectDamaged, ObjectMissing):
                    if not left:
                        raise
            os.utime(temporary, ns=(entry.updated, entry.updated))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _write(self, entry: Entry, path: Path, block: memoryview) -> None:
        written = 0
        try:
            opened: Any = self._storage.open(entry.uri)
            with opened as source, path.open("wb", buffering=0) as sink:
                while count := source.readinto(block):
                    if self._stop.is_set():
                        raise _Stopped
                    _write_all(sink.fileno(), block[:count])
                    written += count
                    self._progress.add(bytes=count)
            if written != entry.size and entry.uri.startswith("file:"):  # other stores have said its size meanwhile
                raise ObjectDamaged(f"{entry.uri} has {entry.size} bytes, and {written} arrived")
        except BaseException:
            self._progress.add(bytes=-written)
            raise


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _make_folders(folders: set[Path]) -> None:
    """With their parents."""
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise OSError(errno.ENOTDIR, "a file is where a folder must be", str(folder)) from error


def _target(folder: Path, entry: Entry) -> Path:
    parts = entry.name[: -len("/")].split("/") if entry.name.endswith("/") else entry.name.split("/")
    if entry.name and (not {"", ".", ".."}.isdisjoint(parts) or "\0" in entry.name):
        raise RuntimeError(
            f"{entry.uri} cannot become a file below {folder}: its name has empty parts or leads elsewhere. "
            "Rename it, or mount the data with `fuse=True`."
        )
    return folder.joinpath(*parts)


def _complete(entry: Entry, target: Path) -> bool:
    try:
        facts = target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (facts.st_size, facts.st_mtime_ns) == (entry.size, entry.updated) and target.is_file()


def _amount(files: Sequence[tuple[Entry, Path]]) -> Amount:
    return Amount(len(files), sum(entry.size for entry, _ in files))


def _difference(total: Amount, part: Amount) -> Amount:
    return Amount(total.files - part.files, total.bytes - part.bytes)
