"""What a Cloud Storage of the tests remembers: buckets, their objects with generations, uploads under way.

It follows the JSON API where clients rely on it (preconditions, checksums, name order) and refuses the rest.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import google_crc32c

PIECE = 1 << 20


class ApiError(Exception):
    """Answered to the client in the form of the JSON API."""

    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason


class Content:
    """Bytes of one object with their checksums; large ones lie in a nameless file, not in memory."""

    def __init__(self) -> None:
        self.size = 0
        self._small = bytearray()
        self._file = -1
        self._md5: tuple[int, str] = -1, ""
        """Of so many bytes: made when it is asked for."""
        self._crc32c = google_crc32c.Checksum()

    def append(self, data: bytes) -> None:
        self._crc32c.update(data)
        self.size += len(data)
        if self._file < 0 and self.size > PIECE:
            self._file, path = tempfile.mkstemp()
            Path(path).unlink()
            weakref.finalize(self, os.close, self._file)
            os.write(self._file, self._small)
        if self._file < 0:
            self._small += data
        else:
            os.write(self._file, data)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes from ``start`` up to, not including, ``end``."""
        for at in range(start, end, PIECE):
            length = min(PIECE, end - at)
            yield bytes(self._small[at : at + length]) if self._file < 0 else os.pread(self._file, length, at)

    @property
    def md5(self) -> str:
        if self._md5[0] != self.size:
            digest = hashlib.md5()
            for piece in self.pieces(0, self.size):
                digest.update(piece)
            self._md5 = self.size, base64.b64encode(digest.digest()).decode()
        return self._md5[1]

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._crc32c.digest()).decode()


@dataclass(frozen=True)
class Preconditions:
    """``ifGenerationMatch`` and its relatives; 0 means "no object"."""

    query: Mapping[str, str]
    prefix: str = "if"

    def check(self, found: StoredObject | None) -> None:
        self._compare("GenerationMatch", found.generation if found else 0)
        self._compare("MetagenerationMatch", found.metageneration if found else 0)
        unwanted = self.query.get(self.prefix + "GenerationNotMatch")
        if unwanted is not None and int(unwanted) == (found.generation if found else 0):
            raise ApiError(304, "Not modified", "notModified")

    def _compare(self, name: str, actual: int) -> None:
        wanted = self.query.get(self.prefix + name)
        if wanted is not None and int(wanted) != actual:
            raise ApiError(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")


@dataclass(frozen=True)
class StoredObject:
    """One generation of one name."""

    bucket: str
    name: str
    content: Content
    generation: int
    updated: float
    attributes: Mapping[str, Any]
    """Content type and custom metadata, as the client gave them."""
    metageneration: int = 1
    composed: bool = False
    """Such objects have no MD5."""

    def resource(self) -> dict[str, Any]:
        stamp = _stamp(self.updated)
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": self.bucket,
            "size": str(self.content.size),
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "timeCreated": stamp,
            "updated": stamp,
            "storageClass": "STANDARD",
            "contentType": self.attributes.get("contentType", "application/octet-stream"),
            "crc32c": self.content.crc32c,
            "etag": f"{self.generation}/{self.metageneration}",
            **({} if self.composed else {"md5Hash": self.content.md5}),
            **{key: self.attributes[key] for key in ("metadata", "cacheControl") if self.attributes.get(key)},
        }

    def hashes(self) -> str:
        """Value of the header ``X-Goog-Hash``."""
        return f"crc32c={self.content.crc32c}" + ("" if self.composed else f",md5={self.content.md5}")


@dataclass
class Session:
    """A resumable upload. A finished one answers with its object for as long as it is remembered."""

    bucket: str
    attributes: Mapping[str, Any]
    query: Mapping[str, str]
    content: Content = field(default_factory=Content)
    finished: StoredObject | None = None


@dataclass(frozen=True)
class Page:
    objects: Sequence[StoredObject]
    prefixes: Sequence[str]
    next: str = ""
    """Name behind which the next page begins; empty for the last one."""


class Bucket:
    """Objects by name. Every change is atomic and gets a new generation."""

    def __init__(self, name: str, project: str = "tests") -> None:
        self.name = name
        self.project = project
        self._objects: dict[str, StoredObject] = {}
        self._lock = threading.RLock()
        self._generation = time.time_ns() // 1000
        self.lag = 0.0
        """Seconds by which listings are late, as those of caches and mounted buckets are."""
        self._changes: deque[tuple[float, str, StoredObject | None]] = deque()
        """When, and what was there before, while listings are late."""

    def get(self, name: str, query: Mapping[str, str]) -> StoredObject:
        """The live generation; 404 when there is none, or another one was asked for."""
        found = self._objects.get(name)
        wanted = query.get("generation")
        if found is None or (wanted is not None and int(wanted) != found.generation):
            raise ApiError(404, f"No such object: {self.name}/{name}", "notFound")
        Preconditions(query).check(found)
        return found

    def check(self, name: str, query: Mapping[str, str]) -> None:
        Preconditions(query).check(self._objects.get(name))

    def insert(
        self, attributes: Mapping[str, Any], content: Content, query: Mapping[str, str], *, composed: bool = False
    ) -> StoredObject:
        name = attributes["name"]
        for key, kind in (("md5Hash", "md5"), ("crc32c", "crc32c")):
            if key in attributes and attributes[key] != getattr(content, kind):
                raise ApiError(400, f"Provided {key} {attributes[key]!r} doesn't match {getattr(content, kind)!r}.")
        with self._lock:
            self.check(name, query)
            self._generation += 1
            made = StoredObject(self.name, name, content, self._generation, time.time(), attributes, composed=composed)
            self._note(name)
            self._objects[name] = made
            return made

    def patch(self, name: str, changes: Mapping[str, Any], query: Mapping[str, str]) -> StoredObject:
        with self._lock:
            found = self.get(name, query)
            changed = replace(
                found,
                attributes={**found.attributes, **changes},
                metageneration=found.metageneration + 1,
                updated=time.time(),
            )
            self._objects[name] = changed
            return changed

    def delete(self, name: str, query: Mapping[str, str]) -> None:
        with self._lock:
            self.get(name, query)
            self._note(name)
            del self._objects[name]

    def page(self, query: Mapping[str, str], after: str, limit: int) -> Page:
        """``limit`` counts objects and prefixes together, as the real one does."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, end = query.get("startOffset", ""), query.get("endOffset")
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        last = after
        with self._lock:
            listed = self._listed()
            for name in sorted(name for name in listed if name.startswith(prefix) and name >= start):
                key = _group(name, prefix, delimiter)
                if key <= last or (end is not None and name >= end):
                    continue
                if len(objects) + len(prefixes) == limit:
                    return Page(objects, prefixes, last)
                last = key
                if key == name:
                    objects.append(listed[name])
                else:
                    prefixes.append(key)
        return Page(objects, prefixes)

    def _note(self, name: str) -> None:
        if self.lag:
            self._changes.append((time.monotonic(), name, self._objects.get(name)))

    def _listed(self) -> Mapping[str, StoredObject]:
        """What was there :attr:`lag` seconds ago."""
        shown, then = dict(self._objects), time.monotonic() - self.lag
        while self._changes and self._changes[0][0] <= then:
            self._changes.popleft()
        for _, name, before in reversed(self._changes):
            if before is None:
                shown.pop(name, None)
            else:
                shown[name] = before
        return shown

    def grow_old(self, seconds: float) -> None:
        """Everything in the bucket is so much older than it was."""
        with self._lock:
            for name, found in self._objects.items():
                self._objects[name] = replace(found, updated=found.updated - seconds)

    def names(self) -> list[str]:
        return sorted(self._objects)


def _group(name: str, prefix: str, delimiter: str) -> str:
    """The common prefix that stands for ``name`` in a listing, or the name itself."""
    stem, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
    return prefix + stem + found if found else name


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06d}Z"
