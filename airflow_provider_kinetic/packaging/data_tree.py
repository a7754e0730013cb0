"""What lies at a local data path, as the content hash orders it (contract 11.2), before a byte is read.

Links to folders are not followed, which the hash demands; links to files are the files. What could not be sent as it is
(sockets, broken links, names that are not UTF-8) ends here, with the names of the first few: no job has to find out.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from airflow_provider_kinetic.model.errors import ConfigurationError, InfrastructureError

_SHOWN = 5
_NAME: Callable[[os.DirEntry[str]], str] = attrgetter("name")
_SPECIAL = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class DataFile(NamedTuple):
    """One file; times in nanoseconds since the epoch. A link's target is what is measured."""

    relative: str
    """Path below the folder, or a single file's base name: part of the hash and of the object's name."""
    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def version(self) -> tuple[int, int, int]:
        """Differs after the content changed. Without ``ctime``: a backup that adds a link changes nothing."""
        return self.size, self.mtime_ns, self.inode

    def is_unchanged(self, now: os.stat_result) -> bool:
        return self.version == (now.st_size, now.st_mtime_ns, now.st_ino)


class DataTree(NamedTuple):
    """A single file or a folder with all that is below, in the order of the content hash."""

    root: Path
    is_folder: bool
    files: tuple[DataFile, ...]
    empty_folders: tuple[str, ...] = ()
    """Relative paths; empty text for the root. They are kept, but no part of the hash."""
    ignored_links: tuple[str, ...] = ()
    """Links to folders: neither hashed nor sent. Worth a warning."""
    folders: tuple[tuple[str, int], ...] = ()
    """Path and ``mtime_ns`` of every folder, read before its list."""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def refuse_changed(self) -> None:
        """Look again at the folders, and into them where one has changed. Files are checked by who reads them.

        :raises InfrastructureError: files came, went or changed since the scan.
        """
        if all(_mtime(path) == mtime for path, mtime in self.folders):
            return
        now = scan(self.root)
        if [(file.relative, file.version) for file in now.files] != [
            (file.relative, file.version) for file in self.files
        ] or now.empty_folders != self.empty_folders:
            raise changed(str(self.root))


def scan(path: Path) -> DataTree:
    """List a file or a folder.

    :param path: absolute, links not resolved: the name that the user gave is the name of a single file.
    :raises ConfigurationError: nothing is there, it may not be read, or something in it cannot be sent.
    :raises InfrastructureError: the disk failed, or files went away meanwhile.
    """
    found = look(path)
    if stat.S_ISDIR(found.st_mode):
        return _Scan(path).tree()
    if not _is_utf8(path.name):
        raise _unsendable(path, [f"{path.name!r} is not UTF-8"])
    return DataTree(path, False, (_file(path.name, str(path), found),))


def look(path: Path) -> os.stat_result:
    """Whether a file or a folder is there at all, without a look into it.

    :raises ConfigurationError: it is not, or it is something else, or it may not be seen.
    :raises InfrastructureError: the disk failed.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _unreachable(path, error) from error
    if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"Data path {path} is {_kind(found.st_mode)}, neither a file nor a folder.")
    return found


def changed(path: str) -> InfrastructureError:
    """The error of whoever finds other bytes than those that were listed or hashed."""
    return InfrastructureError(
        f"{path!r} changed while it was read.",
        advice="Data must rest until it is uploaded: write it to a new folder and rename that, or copy it first.",
    )


def refusal(path: str, error: OSError) -> ConfigurationError | InfrastructureError:
    """What an operating system's error means for the user."""
    if isinstance(error, PermissionError):
        return ConfigurationError(
            f"{path!r} may not be read by the worker {socket.gethostname()}, which runs as user {os.geteuid()}.",
            advice="Give that user read permission for the files, and read and execute permission for the folders.",
        )
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return changed(path)
    return InfrastructureError(f"{path!r} cannot be read: {error.strerror or error}.")


class _Scan:
    """One pass over a folder: files of each folder first, then its folders, by name (contract 11.2)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: list[DataFile] = []
        self._empty: list[str] = []
        self._ignored: list[str] = []
        self._folders: list[tuple[str, int]] = []
        self._bad: list[str] = []

    def tree(self) -> DataTree:
        pending = [(str(self._root), "")]
        while pending:
            pending += reversed(self._enter(*pending.pop()))
        if self._bad:
            raise _unsendable(self._root, self._bad)
        return DataTree(
            self._root, True, tuple(self._files), tuple(self._empty), tuple(self._ignored), tuple(self._folders)
        )

    def _enter(self, path: str, below: str) -> list[tuple[str, str]]:
        """Take the files of a folder; its folders, with what stands before the names in them."""
        folders = []
        before = len(self._files)
        for entry in self._list(path):
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{below}{entry.name}{os.sep}"))
            else:
                self._take(entry, below + entry.name)
        if not folders and before == len(self._files):
            self._empty.append(below.rstrip(os.sep))
        return folders

    def _list(self, path: str) -> list[os.DirEntry[str]]:
        try:
            self._folders.append((path, Path(path).stat().st_mtime_ns))
            with os.scandir(path) as entries:
                return sorted(entries, key=_NAME)
        except OSError as error:
            raise refusal(path, error) from error

    def _take(self, entry: os.DirEntry[str], relative: str) -> None:
        try:
            found = entry.stat()
        except OSError as error:
            if not entry.is_symlink():
                raise refusal(entry.path, error) from error
            self._bad.append(f"{relative!r} is a broken link ({error.strerror})")
            return
        if stat.S_ISREG(found.st_mode) and _is_utf8(relative):
            self._files.append(_file(relative, entry.path, found))
        elif stat.S_ISREG(found.st_mode):
            self._bad.append(f"{relative!r} is not UTF-8")
        elif stat.S_ISDIR(found.st_mode):
            self._ignored.append(relative)
        else:
            self._bad.append(f"{relative!r} is {_kind(found.st_mode)}")


def _file(relative: str, path: str, found: os.stat_result) -> DataFile:
    return DataFile(relative, path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _mtime(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


def _kind(mode: int) -> str:
    return _SPECIAL.get(stat.S_IFMT(mode), "neither a file nor a folder")


def _is_utf8(name: str) -> bool:
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:
        return False


def _unreachable(path: Path, error: OSError) -> ConfigurationError | InfrastructureError:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return refusal(str(path), error)
    what = "is a link to nothing" if path.is_symlink() else "does not exist"
    return ConfigurationError(
        f"Data path {path} {what} on the worker {socket.gethostname()}.",
        advice="Data is uploaded from the worker that runs the task: put it where every worker sees it, "
        "or in a bucket as `gs://…`.",
    )


def _unsendable(root: Path, bad: list[str]) -> ConfigurationError:
    shown = "; ".join(bad[:_SHOWN]) + (f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else "")
    return ConfigurationError(
        f"Data path {root} holds what cannot be sent: {shown}.",
        advice="Remove or rename these, or name a folder without them.",
    )
