"""Data on its way to the store: found there by content, or sent, before a job is created that needs it.

A marker that is written last says that all objects of a content are there (contract 11.3). It is believed only together
with one of those objects, and only while they are young: the bucket removes what is older than 30 days, data first,
so everything is made anew on the server in time for a job that starts now and reads for weeks.

What is there without a marker is left of an upload that was interrupted, or belongs to one under way. Either way the
missing objects are sent and the others left alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from airflow_provider_kinetic.job.progress import Amount, Progress, files_text, size_text
from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.data_layout import DataLocation
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreForbidden
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.packaging.data_hash import HashProgress, content_hash
from airflow_provider_kinetic.packaging.data_tree import DataFile, DataTree, scan
from airflow_provider_kinetic.packaging.stat_cache import StatCache, user_folder
from airflow_provider_kinetic.stores.base import NOTHING, ObjectInfo, Store

T = TypeVar("T")
Say = Callable[[str], None]

REFRESH = 10 * 86400.0
"""Age in seconds from which on objects are made anew: a job that starts now has twenty days left to read them."""
AT_ONCE = 16
"""Requests of one kind at a time."""
_SHOWN = 3


def ship(store: Store, target: Target, data: Mapping[str, Data], say: Say) -> dict[Data, DataReference]:
    """Make sure that the job will find its data, and say under which references.

    :param data: every use, under the words for it (``argument 'train'``); rendered.
    :returns: without places to mount: those are up to the caller.
    :raises ConfigurationError: data is missing, may not be read, or cannot be stored. Nothing was sent.
    :raises InfrastructureError: the store failed, or files changed meanwhile.
    """
    words: dict[Data, str] = {}
    for where, each in data.items():
        words.setdefault(each, where)
    contents: dict[Path, _Content] = {}
    for each, where in words.items():
        if each.kind == "local" and each.local_path not in contents:
            contents[each.local_path] = _Content(store, target, each.local_path, partial(_say, say, where))
    checks = [partial(_check_bucket, store, each, where, say) for each, where in words.items() if each.kind == "gs"]
    if looks := [content.look for content in contents.values()] + checks:
        together(*looks)
    for content in contents.values():
        content.check_names()
    for content in contents.values():
        content.send()
    return {each: _reference(each, contents) for each in words}


def _say(say: Say, where: str, text: str) -> None:
    say(f"{where}: {text}")


def _reference(data: Data, contents: Mapping[Path, _Content]) -> DataReference:
    if data.kind == "local":
        content = contents[data.local_path]
        uri, is_folder = content.location.uri, content.tree.is_folder
    else:
        uri, is_folder = data.path, bool(data.is_folder)
    return DataReference(uri, is_folder, fuse=data.fuse, hf_trust_remote_code=data.hf_trust_remote_code)


def _check_bucket(store: Store, data: Data, where: str, say: Say) -> None:
    """One request: whether there is an object, or anything under a prefix. A worker that may not look lets it pass.

    :raises ConfigurationError: there is not.
    """
    if not data.path.startswith(f"{store.scheme}://"):
        return  # jobs of this machine have an identity of their own in the cloud, or none
    try:
        found = [info.uri for info in store.list(data.path, limit=2)]
    except StoreForbidden as error:
        say(f"{where}: this worker cannot tell whether {data.path} is there, the job will. {error}")
        return
    if data.is_folder and not set(found) - {data.path}:
        raise ConfigurationError(
            f"{where}: there is nothing under {data.path}.",
            advice="Name a prefix under which objects lie: is the date in it right, has the task before this one run?",
        )
    if not data.is_folder and data.path not in found:
        folder = any(uri.startswith(f"{data.path}/") for uri in found)
        raise ConfigurationError(
            f"{where}: there is no object {data.path}.",
            advice=f"It is a prefix: write {data.path}/ with a slash at its end."
            if folder
            else f"Name an object that exists, or a prefix with a slash at its end: {data.path}/.",
        )


class _Content:
    """What lies at one local path: listed and hashed when it is made."""

    def __init__(self, store: Store, target: Target, path: Path, say: Say) -> None:
        self._store = store
        self._say = say
        self._can_age = target.platform != "local"
        self.tree = scan(path)
        if links := self.tree.ignored_links:
            more = f" and {len(links) - _SHOWN:,} more" if len(links) > _SHOWN else ""
            say(f"links to folders are not followed: {', '.join(map(repr, links[:_SHOWN]))}{more} below {path}.")
        self.location = DataLocation(target.store_root, _hash(self.tree, say))
        self._marker: ObjectInfo | None = None
        self._samples: list[ObjectInfo | None] = []

    def look(self) -> None:
        """One round trip: the marker, one file, and folders that whoever sent these files may not have had."""
        place, looks = self.location, [partial(self._store.stat, self.location.marker_uri)]
        looks += [partial(self._stat_file, file) for file in self.tree.files[:1]]
        looks += [partial(self._store.stat, place.empty_folder_uri(name)) for name in self.tree.empty_folders[:AT_ONCE]]
        self._marker, *self._samples = together(*looks)

    def check_names(self) -> None:
        """:raises ConfigurationError: the store cannot hold an object of some file's name."""
        if not self._is_complete:
            for relative in (file.relative for file in self.tree.files):
                self.location.object_uri(relative)

    def send(self) -> None:
        """Whatever is missing or will be removed soon, then the marker."""
        if self._is_complete and not any(map(self._is_old, self._seen)):
            self._say(f"{self._text} is in the store already.")
            return
        there = self._renewed(self._store.list(f"{self.location.uri}/"))
        self._send_files(there)
        empty = [uri for uri in map(self.location.empty_folder_uri, self.tree.empty_folders) if uri not in there]
        deque(_together(partial(self._store.write, uri, b"") for uri in empty), maxlen=0)
        self._store.write(self.location.marker_uri, b"")

    @property
    def _text(self) -> str:
        return f"{self.tree.root} ({files_text(len(self.tree.files))}, {size_text(self.tree.size)})"

    @property
    def _seen(self) -> list[ObjectInfo]:
        return [info for info in (self._marker, *self._samples) if info is not None]

    @property
    def _is_complete(self) -> bool:
        """Empty folders are no part of the hash: where there are many, their list is looked at."""
        return self._marker is not None and None not in self._samples and len(self.tree.empty_folders) <= AT_ONCE

    def _stat_file(self, file: DataFile) -> ObjectInfo | None:
        """None for an object of another size, too."""
        info = self._store.stat(self.location.object_uri(file.relative))
        return info if info is not None and info.size == file.size else None

    def _is_old(self, info: ObjectInfo) -> bool:
        return self._can_age and info.created < time.time() - REFRESH

    def _renewed(self, listing: Iterable[ObjectInfo]) -> dict[str, ObjectInfo]:
        """What is there, after all that is old has been made anew."""
        there = {info.uri: info for info in listing}
        old = [info for info in there.values() if self._is_old(info)]
        if old:
            self._say(f"{self._text} is in the store, and old: {len(old):,} objects are made anew there.")
        progress = Progress(
            f"Making {self.tree.root} anew", Amount(len(old), sum(info.size for info in old)), self._say
        )
        for info, done in zip(old, _together(partial(self._renew, info.uri) for info in old), strict=True):
            progress.add(files=1, bytes=info.size)
            if not done:
                del there[info.uri]
        progress.end()
        return there

    def _renew(self, uri: str) -> bool:
        """False if there is nothing any more: the bucket has removed it."""
        try:
            self._store.copy(uri, uri)
        except ObjectMissing:
            return False
        return True

    def _send_files(self, there: Mapping[str, ObjectInfo]) -> None:
        """A marker vouches for what is there; without one it is compared."""
        files = [(file, self.location.object_uri(file.relative)) for file in self.tree.files]
        if self._marker is not None:
            files = [(file, uri) for file, uri in files if uri not in there or there[uri].size != file.size]
        if not files:
            return
        if self._marker is not None:  # it says what is not true, and others may look before all is there
            self._store.delete(self.location.marker_uri)
        total = Amount(len(files), sum(file.size for file, _ in files))
        progress = Progress(f"Uploading {self.tree.root}", total, self._say)
        sent = self._store.upload_many(
            files,
            there=NOTHING if self._marker is not None else there,
            report=lambda done, size: progress.reached(Amount(done, size)),
        )
        progress.end()
        had = len(self.tree.files) - sent
        self._say(f"{self._text} is in the store now" + (f"; {files_text(had)} were there before." if had else "."))


def _hash(tree: DataTree, say: Say) -> str:
    progress: list[Progress] = []

    def report(now: HashProgress) -> None:
        done = Amount(now.files, now.bytes)
        if not progress:
            total = Amount(now.total_files, now.total_bytes)
            progress.append(Progress(f"Reading {tree.root}", total, say, done=done))
        progress[0].reached(done)

    folder = user_folder()
    found = content_hash(tree, cache=StatCache(folder) if folder else None, report=report)
    for each in progress:
        each.end()
    return found


def _together(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the calls return, in their order; a bounded number runs at a time."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="kinetic-data") as pool:
        yield from pool.map(lambda call: call(), calls)
