"""The files of a checkpoint on their way to the store, and no byte of them twice.

Much of a training's state stays the same from one checkpoint to the next. A file that the one before has already is
copied by the store, so that every checkpoint is complete in its own folder (``checkpointing`` 3.5).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint, in_parallel
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.training.steps import MARKER
from airflow_provider_kinetic.job.vaults import Vault, below


class Folder(NamedTuple):
    """What lies in the store."""

    uri: str = ""
    files: Sequence[File] = ()


class Sender:
    """Sends one folder after another."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._previous = Folder()
        self._former: Future[Folder] | None = None

    def continue_from(self, find: Callable[[], Checkpoint | None]) -> None:
        """Files of what is found need not be sent again. It is looked for while the folder is filled."""
        with contextlib.suppress(RuntimeError):  # the interpreter ends: then all is sent
            looking = ThreadPoolExecutor(1, "kinetic-former")
            self._former = looking.submit(_files_of, self._vault, find)
            looking.shutdown(wait=False)

    def send(self, folder: Path, uri: str) -> list[File]:
        """All files of the folder are in the store.

        Beside them is Orbax's mark: an Orbax manager that is told to clear up deletes what has none (``native``).
        """
        if self._former is not None:
            former, self._former = self._former, None
            self._previous = former.result()
        found = [(path, file, file.stat().st_size) for path, file in manifests.files_in(folder)]
        manifests.check([path for path, _, _ in found])
        found.sort(key=lambda each: -each[2])
        calls: list[Callable[[], Any]] = [partial(self._store, uri, *each) for each in found]
        if not uri.startswith("file://"):
            calls.append(partial(self._vault.write, f"{uri}/{MARKER}", b""))
        files: list[File] = in_parallel(lambda call: call(), calls)[: len(found)]
        self._previous = Folder(uri, files)
        return files

    def send_one(self, folder: Path, uri: str, path: str) -> File:
        """One more file of the folder."""
        return self._store(uri, path, folder / path, (folder / path).stat().st_size)

    def _store(self, folder: str, path: str, file: Path, size: int) -> File:
        uri, edge = below(folder, path), manifests.edge_of(file, size)
        same = self._unchanged(file, size, edge)
        if same is not None:
            version = self._vault.copy(below(self._previous.uri, same.path), uri, same.version)
            if version is not None:
                return File(path, size, same.digest, edge, version)
        sent = self._vault.send(file, uri)
        return File(path, size, sent.digest, edge, sent.version)

    def _unchanged(self, file: Path, size: int, edge: str) -> File | None:
        """A file of the checkpoint before with the same bytes. Short ones are sent as fast as they are copied."""
        if size <= 2 * manifests.EDGE:
            return None
        like = [each for each in self._previous.files if each.size == size and each.edge == edge]
        digest = digests.of_file(file) if like else ""
        return next((each for each in like if each.digest == digest), None)


def _files_of(vault: Vault, find: Callable[[], Checkpoint | None]) -> Folder:
    """It is not needed, so any trouble is passed over."""
    with contextlib.suppress(Exception):
        checkpoint = find()
        if checkpoint is not None:
            return Folder(checkpoint.uri, manifests.read(vault, checkpoint))
    return Folder()
