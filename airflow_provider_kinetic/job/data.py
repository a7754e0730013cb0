"""Data of a call: references become paths, wherever they stand among the arguments (contract 7.6).

The same for payloads of upstream's client, whose references have the same form. What is named twice is fetched once,
and what was fetched before, by an attempt that had this folder, is not fetched again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job import hub
from airflow_provider_kinetic.job.containers import Irreplaceable, Nested
from airflow_provider_kinetic.job.fetch import explained, fetch
from airflow_provider_kinetic.job.links import Links
from airflow_provider_kinetic.job.mounts import AGE, mounted
from airflow_provider_kinetic.job.progress import EVERY, FIRST
from airflow_provider_kinetic.job.references import EMPTY_FOLDER, DataReference
from airflow_provider_kinetic.job.storage import Entry, Storage, open_storage, uri_to_path


class DataFolder:
    """Where the data of one call is put.

    :param folder: for arguments: ``0``, ``1``, … in the order of the call.
    :param workspace: the user's project, see :func:`hub.load`.
    :param links: given on a machine that outlives the job: volumes become links there, see :class:`Links`.
    :param storage: gives the storage of a URI.
    """

    def __init__(
        self,
        folder: Path,
        workspace: Path,
        links: Links | None = None,
        *,
        storage: Callable[[str], Storage] = open_storage,
    ) -> None:
        self._folder = folder
        self._workspace = workspace
        self._links = links
        self._known: dict[tuple[str, bool], Path] = {}
        self._storage = storage
        self._count = 0

    def mount(self, volumes: Iterable[Mapping[str, Any]]) -> None:
        """Put each volume at its path.

        :raises RuntimeError: it cannot be had, or the path cannot be used.
        """
        for wire in volumes:
            reference = _parsed(wire)
            if reference.mount_path is None:
                raise RuntimeError(f"the volume {reference.uri} has no path")
            self._volume(reference, Path(reference.mount_path))

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same with paths, as text, in the place of references; the same objects where there are none.

        :raises RuntimeError: data cannot be had, or no path can take the place of a reference.
        """
        try:
            given = Nested([args, kwargs], DataReference.is_wire)
            paths = {id(wire): str(self._argument(_parsed(wire))) for wire in given.found}
            changed_args, changed_kwargs = given.replaced(lambda wire: paths[id(wire)])
        except Irreplaceable as error:
            raise RuntimeError(f"a reference to data is {error.reason}, where no path can take its place") from error
        return changed_args, changed_kwargs

    def _volume(self, reference: DataReference, path: Path) -> None:
        on_disk = reference.uri.startswith("file:")
        if reference.fuse and not on_disk:
            mounted(reference)
            return
        target = path
        if self._links is not None:
            with explained(reference.uri, path):
                target = self._links.make(path, reference.uri, _folder_of(reference) if reference.fuse else None)
        if not reference.fuse:
            self._known[reference.uri, reference.is_dir] = self._download(reference, target)

    def _argument(self, reference: DataReference) -> Path:
        if reference.fuse and reference.uri.startswith("file:"):
            return self._link(reference)
        if reference.mount_path is not None:
            return mounted(reference) if reference.fuse else Path(reference.mount_path)
        key = (reference.uri, reference.is_dir)
        if key not in self._known:
            self._known[key] = self._download(reference, self._next_folder())
        return self._known[key]

    def _next_folder(self) -> Path:
        self._count += 1
        return self._folder / str(self._count - 1)

    def _link(self, reference: DataReference) -> Path:
        """What a mount is in a pod."""
        source, link = _folder_of(reference), self._next_folder()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source, target_is_directory=True)
        if reference.is_dir:
            return link
        return _landed(link, _entries(self._storage(reference.uri), reference))

    def _download(self, reference: DataReference, target: Path) -> Path:
        """The folder, or the file in it where the reference is for one."""
        if reference.uri.startswith("hf:"):
            with explained(reference.uri, target):
                hub.load(reference, target, self._workspace)
            return target
        storage = self._storage(reference.uri)
        with explained(reference.uri, target):
            entries = _entries(storage, reference)
        fetch(reference.uri, entries, storage, target, _say)
        return target if reference.is_dir else _landed(target, entries)


def _parsed(wire: Mapping[str, Any]) -> DataReference:
    try:
        return DataReference.from_wire(dict(wire))
    except KeyError as error:
        raise RuntimeError(f"a reference to data has no {error}") from error


def _entries(storage: Storage, reference: DataReference) -> list[Entry]:
    """What belongs to it. A reference for one file names the file itself, or the folder of an upload."""
    folder = reference.uri.rstrip("/")
    alone = None if reference.is_dir or reference.content_hash else storage.entry(reference.uri)
    entries = [alone] if alone is not None else _listed(reference.uri, storage.tree(folder))
    if entries or reference.content_hash == EMPTY_FOLDER:
        return entries
    if reference.content_hash:
        raise RuntimeError(f"the data at {reference.uri} is gone. {AGE}")
    what = "below it" if reference.is_dir else "of this name or below it"
    raise RuntimeError(f"there is no object {what}: {reference.uri}")


def _listed(what: str, entries: Iterable[Entry]) -> list[Entry]:
    found: list[Entry] = []
    next_line = time.monotonic() + FIRST
    for entry in entries:
        found.append(entry)
        if time.monotonic() > next_line:
            next_line = time.monotonic() + EVERY
            _say(f"Listing {what}: {len(found):,} objects so far")
    return found


def _landed(target: Path, entries: list[Entry]) -> Path:
    """As upstream: the file where there is exactly one, else the folder."""
    files = [entry for entry in entries if not entry.is_folder]
    return target / files[0].name if len(files) == 1 else target


def _folder_of(reference: DataReference) -> Path:
    """What a mount of data on this machine shows."""
    path = uri_to_path(reference.uri)
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise RuntimeError(f"{path} is not there, or not on this machine")
    return folder


def _say(line: str) -> None:
    print(f"kinetic: {line}", file=sys.stderr, flush=True)
