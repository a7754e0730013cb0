"""A store of this side as the job's code knows one.

The records of a trial are read and deleted by the code that writes them (``job.training``: checkpoints, series,
retention). That code speaks to a ``Vault``; here is one over the ``Store`` port, so that what is asked for in Airflow
is asked for with Airflow's credentials.
"""

from __future__ import annotations

import builtins
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import BoundedSemaphore
from typing import BinaryIO, TypeVar
from urllib.parse import unquote_to_bytes

from airflow_provider_kinetic.job.storage import Entry, ObjectMissing
from airflow_provider_kinetic.job.vaults import Sent, Take
from airflow_provider_kinetic.stores.base import ObjectInfo, Store

R = TypeVar("R")

AT_A_TIME = 8
"""Requests: below the ten connections that the transport of Google's library keeps."""


class StoreVault:
    """The ``Vault`` of the job over a ``Store``. Raises what the store raises."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = BoundedSemaphore(AT_A_TIME)

    def open(self, uri: str) -> BinaryIO:
        """A copy on this machine, which goes with the stream."""
        with tempfile.TemporaryDirectory(prefix="kinetic-") as folder:
            path = Path(folder, "object")
            with self._turns:
                self._store.download(uri, path)
            return path.open("rb")

    def read(self, uri: str) -> bytes:
        return self._in_turn(lambda: self._store.read(uri))

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        self._in_turn(lambda: self._store.write(uri, data, if_absent=if_absent))

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        self._in_turn(lambda: self._store.upload(path, uri, if_absent=if_absent))

    def list(self, prefix: str) -> builtins.list[str]:
        return [info.uri for info in self.infos(prefix)]

    def infos(self, prefix: str) -> builtins.list[ObjectInfo]:
        return self._in_turn(lambda: self._store.list(prefix))

    def numbered(self, folder: str) -> builtins.list[ObjectInfo]:
        """What lies below ``folder`` and begins with a digit there."""
        behind, before = f"{folder}//", f"{folder}/:"  # digits are what comes between
        return self._in_turn(lambda: self._store.list(f"{folder}/", after=behind, before=before))

    def entry(self, uri: str) -> Entry | None:
        info = self._in_turn(lambda: self._store.stat(uri))
        return None if info is None else _entry(info, uri.rpartition("/")[2])

    def tree(self, folder: str, *, numbered: bool = False) -> Iterator[Entry]:
        infos = self.numbered(folder) if numbered else self.infos(f"{folder}/")
        return (_entry(info, info.uri[len(folder) + 1 :]) for info in infos)

    def tail(self, uri: str, start: int) -> bytes:
        """The port reads whole objects. Segments of metrics, the only ones that grow, are small."""
        return self.read(uri)[start:]

    def fetch(self, uri: str, start: int, count: int, take: Take) -> int:
        """As :meth:`tail`; large files are copied with :meth:`open`."""
        data = memoryview(self.read(uri))
        take(data[start : start + count])
        return len(data)

    def folders(self, folder: str) -> builtins.list[str]:
        return sorted({entry.name.partition("/")[0] for entry in self.tree(folder) if "/" in entry.name})

    def send(self, path: Path, uri: str) -> Sent:
        raise NotImplementedError("checkpoints are saved in jobs")

    def copy(self, source: str, target: str, version: str) -> str | None:
        """Whatever ``version`` it is."""
        try:
            self._in_turn(lambda: self._store.copy(source, target))
        except ObjectMissing:
            return None
        return version

    def renew(self, uri: str) -> None:
        self._in_turn(lambda: self._store.copy(uri, uri))

    def delete(self, uri: str) -> None:
        self._in_turn(lambda: self._store.delete(uri))

    def delete_tree(self, folder: str) -> None:
        self._in_turn(lambda: self._store.delete_prefix(f"{folder}/"))

    def _in_turn(self, call: Callable[[], R]) -> R:
        with self._turns:
            return call()


def _entry(info: ObjectInfo, name: str) -> Entry:
    plain = os.fsdecode(unquote_to_bytes(name)) if info.uri.startswith("file://") else name
    return Entry(info.uri, plain, info.size, int(info.updated * 1e9))
