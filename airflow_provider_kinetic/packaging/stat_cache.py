"""Digests of files by what ``stat`` says of them, so that unchanged data is not read again.

A file is known by path, size, ``mtime``, ``ctime`` and inode. A program can set ``mtime`` back, not ``ctime``, but both
advance in ticks: a file that was written within a tick of its reading may have been written again in that tick. Such
files are not kept (:func:`is_settled`). Two things stay invisible to any such cache: a server whose clock is more than
:data:`GRANULARITY_NS` behind ours, and a program that goes on writing through a memory map.

Each root has one file in the cache's folder, replaced as a whole, so processes do not disturb one another. What cannot
be read, or may be of somebody else, is as good as absent: the cache saves time and never decides anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from airflow_provider_kinetic.packaging.data_tree import DataFile

GRANULARITY_NS = 2_000_000_000
"""The coarsest clock of a file system in use: FAT's two seconds."""

_FORMAT = 1
_MAX_ROOTS = 256


def user_folder() -> Path | None:
    """Where this user's caches lie (XDG Base Directory Specification); None for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(named) if os.path.isabs(named) else Path.home() / ".cache"  # noqa: PTH117 (empty is not absolute)
    except RuntimeError:
        return None
    return base / "airflow-provider-kinetic" / "data"


class Entry(NamedTuple):
    """A file as it was when it was read, and the digest of its relative path and content (contract 11.2)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    digest: bytes


def entry_of(file: DataFile, digest: bytes) -> Entry:
    return Entry(file.size, file.mtime_ns, file.ctime_ns, file.inode, digest)


def is_settled(file: DataFile, read_ns: int) -> bool:
    """Whether every later change shows in the file's times.

    :param read_ns: a moment before the file was read, by the clock of this machine.
    """
    return max(file.mtime_ns, file.ctime_ns) < read_ns - GRANULARITY_NS


class StatCache:
    """Entries of roots, under a folder that belongs to this user alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, root: Path) -> dict[str, Entry]:
        """Entries by relative path; empty where nothing usable is kept. Never raises."""
        path = self._path(root)
        try:
            with path.open("rb") as stream:
                if not _is_private(os.fstat(stream.fileno())):
                    return {}
                text = stream.read()
            os.utime(path)  # used: the last to be removed
            return _decoded(text, root)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def store(self, root: Path, entries: dict[str, Entry], loaded: dict[str, Entry]) -> None:
        """Replace what is kept of ``root`` if it differs from what was ``loaded``. A disk may refuse."""
        if entries == loaded:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._replace(self._path(root), _encoded(entries, root))
            self._remove_oldest()

    def _path(self, root: Path) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"

    def _replace(self, path: Path, text: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _remove_oldest(self) -> None:
        files = sorted(self._folder.iterdir(), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for file in files[_MAX_ROOTS:]:
            file.unlink(missing_ok=True)


def _is_private(found: os.stat_result) -> bool:
    """Ours, and nobody else can have put a wrong digest into it."""
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _encoded(entries: dict[str, Entry], root: Path) -> bytes:
    files = {relative: (*entry[:4], entry.digest.hex()) for relative, entry in entries.items()}
    body = json.dumps({"format": _FORMAT, "root": os.fsencode(root).hex(), "files": files}).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decoded(text: bytes, root: Path) -> dict[str, Entry]:
    checksum, _, body = text.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        return {}
    content = json.loads(body)
    if (content["format"], content["root"]) != (_FORMAT, os.fsencode(root).hex()):
        return {}
    return {
        relative: Entry(size, mtime_ns, ctime_ns, inode, bytes.fromhex(digest))
        for relative, (size, mtime_ns, ctime_ns, inode, digest) in content["files"].items()
    }
