"""Which files a checkpoint consists of: enough to fetch, to verify, and to find again what has not changed.

A manifest comes from an object store that others may write to, so its paths are looked at before any file is made
(``checkpointing`` 4, row 21).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_kinetic.job.storage import Storage
    from airflow_provider_kinetic.job.training.checkpoints import Checkpoint

NAME = "manifest.json"
VERSION = 2
"""1 had digests made from front to back."""
EDGE = 64 << 10
"""Bytes at either end of a file that tell most changes without reading the rest."""


@dataclass(frozen=True)
class File:
    """One file of a checkpoint. ``path`` is relative, with ``/``."""

    path: str
    size: int
    digest: str
    """Of its bytes (``digests``); empty where it is not known."""
    edge: str
    version: str
    """Of its object, so that a copy can be made of exactly this one."""
    host: int = 0


def encode(files: Iterable[File]) -> bytes:
    """Equal files give equal bytes."""
    listed = [asdict(file) for file in sorted(files, key=lambda file: file.path)]
    return json.dumps({"v": VERSION, "files": listed}, sort_keys=True).encode()


def decode(data: bytes) -> list[File]:
    """:raises ValueError: not a manifest, of a newer version, or with a path that leaves the folder."""
    try:
        parsed = json.loads(data)
        if parsed["v"] != VERSION:
            raise ValueError(f"version {parsed['v']!r} is not known")
        files = [File(**{name: each[name] for name in File.__dataclass_fields__}) for each in parsed["files"]]
        check([file.path for file in files])
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a manifest: {error!r}") from error
    return files


def read(storage: Storage, checkpoint: Checkpoint) -> list[File]:
    """Of a checkpoint: from its record where that has it, else from beside its files.

    :raises ObjectMissing: it is gone.
    :raises ValueError: it has changed, or as :func:`decode`.
    """
    data = checkpoint.manifest.encode() or storage.read(f"{checkpoint.uri}/{NAME}")
    if checkpoint.manifest_sha256 and hashlib.sha256(data).hexdigest() != checkpoint.manifest_sha256:
        raise ValueError("its manifest has changed")
    return decode(data)


def listed(storage: Storage, uri: str) -> list[File]:
    """Of a folder without a manifest, such as a step of Orbax: what lies there now, without digests.

    :raises ValueError: as :func:`check`.
    """
    entries = [entry for entry in storage.tree(uri) if not entry.is_folder]
    check([entry.name for entry in entries])
    return [File(entry.name, entry.size, digest="", edge="", version="") for entry in entries]


def check(paths: Sequence[str]) -> None:
    """:raises ValueError: a path is absolute, empty or leaves its folder, or a file is also a folder."""
    folders: set[str] = set()
    for path in paths:
        parts = path.split("/")
        if "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{path!r} is not a path inside of a checkpoint")
        folders.update("/".join(parts[:count]) for count in range(1, len(parts)))
    if len(set(paths)) < len(paths) or not folders.isdisjoint(paths):
        raise ValueError("two files of the checkpoint have one name, or one is also a folder")


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below, by relative path.

    :raises ValueError: a link to a folder, which is no file and would be lost; a pipe, a socket, a link to nothing; a
        name that is not text.
    """
    for root, folders, names in os.walk(folder):
        here = Path(root)
        for name in folders:
            if (here / name).is_symlink():
                raise ValueError(f"{here / name} is a link to a folder: save the files themselves")
        for name in names:
            path = (here / name).relative_to(folder).as_posix()
            try:
                path.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{path!r} is not a UTF-8 name") from None
            if not (here / name).is_file():
                raise ValueError(f"{here / name} is no file that could be saved")
            yield path, here / name


def edge_of(path: Path, size: int) -> str:
    """Of both ends of a file; of all of it when it is short."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        digest.update(stream.read(EDGE))
        if size > EDGE:
            stream.seek(max(EDGE, size - EDGE))
            digest.update(stream.read(EDGE))
    return digest.hexdigest()
