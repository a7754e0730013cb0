"""The port to objects: where payloads, results, logs and records lie.

Objects are addressed by whole URIs, so that artifacts and outputs may lie in different buckets behind
one port. What every implementation promises: a write is seen whole or not at all, a create-only write
is won by exactly one of many writers, and a listing is in name order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing

__all__ = ["ObjectExists", "ObjectInfo", "ObjectMissing", "Store"]


@dataclass(frozen=True)
class ObjectInfo:
    """``size`` in bytes, ``updated`` in Unix seconds by the store's clock."""

    uri: str
    size: int
    updated: float


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

    def list(self, prefix: str, *, after: str = "") -> list[ObjectInfo]:
        """Objects whose URI starts with ``prefix`` (a folder ends in ``/``) and sorts behind ``after``."""

    def copy(self, source: str, target: str) -> None: ...

    def delete(self, uri: str) -> None:
        """Missing objects are fine."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything under ``prefix``; the number of objects deleted."""
