"""The port to objects: where payloads, results, logs and records lie.

Objects are addressed by whole URIs, so that artifacts and outputs may lie in different buckets behind
one port. What every implementation promises: a write is seen whole or not at all, a create-only write
is won by exactly one of many writers, and a listing is in name order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing
from airflow_provider_kinetic.packaging.data_tree import DataFile

__all__ = ["ObjectExists", "ObjectInfo", "ObjectMissing", "Report", "Store"]

Report = Callable[[int, int], None]
"""Takes how many files and bytes are done."""

NOTHING: Mapping[str, ObjectInfo] = MappingProxyType({})


@dataclass(frozen=True)
class ObjectInfo:
    """``size`` in bytes, ``updated`` in Unix seconds by the store's clock."""

    uri: str
    size: int
    updated: float
    created: float = 0.0
    """As ``updated``, and no change of metadata moves it: a bucket's rules about age go by it."""
    crc32c: str = ""
    """In Base64, most significant byte first; empty where the store knows none."""


class Store(Protocol):
    """Reads and writes objects of one scheme.

    Every method raises ``StoreError`` when the store fails or refuses, and ``ConfigurationError`` for a URI of another
    scheme. Reading what is not there raises :class:`ObjectMissing`; ``if_absent=True`` raises :class:`ObjectExists`.
    """

    scheme: str

    def read(self, uri: str) -> bytes: ...

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None: ...

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        """Store a local file, streamed. The file may become the object (a hard link): do not change it afterwards."""

    def download(self, uri: str, path: Path) -> None: ...

    def stat(self, uri: str) -> ObjectInfo | None: ...

    def upload_many(
        self,
        files: Iterable[tuple[DataFile, str]],
        *,
        there: Mapping[str, ObjectInfo] = NOTHING,
        report: Report | None = None,
    ) -> int:
        """Store local files, each under its URI, and copy them: they stay the user's. How many were sent.

        An object that has come there meanwhile and equals its file is as good as ours and left alone: others may be
        reading it. Another one is replaced. No object is made of a file that is not the one that was listed.

        :param there: what a listing showed under these URIs: objects that need not be sent if they equal their files.
        :param report: called in the caller's thread.
        :raises InfrastructureError: a file has changed since it was listed.
        """

    def list(self, prefix: str, *, after: str = "", before: str = "", limit: int | None = None) -> list[ObjectInfo]:
        """The first ``limit`` objects whose URI starts with ``prefix`` (a folder ends in ``/``) and sorts behind
        ``after``, and before ``before`` where that is given, in URI order."""

    def now(self, uri: str) -> float:
        """Unix seconds by the clock that stamps the objects of that place."""

    def copy(self, source: str, target: str) -> None:
        """``target`` may be ``source``: it is as new as its copy."""

    def delete(self, uri: str) -> None:
        """Missing objects are fine."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything under ``prefix``; the number of objects deleted."""
