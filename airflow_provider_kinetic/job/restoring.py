"""Getting checkpoints back: every byte is compared with its digest before the user's code sees a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from airflow_provider_kinetic.job import manifests
from airflow_provider_kinetic.job.checkpoints import Checkpoint, at, in_parallel
from airflow_provider_kinetic.job.manifests import File
from airflow_provider_kinetic.job.saving import ENV_TMP
from airflow_provider_kinetic.job.storage import ObjectDamaged, ObjectMissing
from airflow_provider_kinetic.job.vaults import BLOCK, Vault, below, open_vault
from airflow_provider_kinetic.model.errors import CheckpointCorrupt

Select = Callable[[str], bool]


class Restorer:
    """Downloads from the store of one URI."""

    def __init__(self, uri: str, vault: Vault | None = None) -> None:
        self._vault = vault or open_vault(uri)

    @contextlib.contextmanager
    def restored(
        self, candidates: Iterable[Checkpoint], *, strict: bool, select: Select | None = None
    ) -> Iterator[Checkpoint | None]:
        """The first candidate that is whole, with ``path``; None when there is no candidate.

        :raises CheckpointCorrupt: none is whole; with ``strict``, the first is not.
        """
        folder = Path(tempfile.mkdtemp(prefix="kinetic-restore-", dir=os.environ.get(ENV_TMP) or None))
        try:
            yield self._first(candidates, folder, strict, select)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def download(self, checkpoint: Checkpoint, folder: Path, select: Select | None = None) -> Path:
        """Fetch into ``folder``; files whose path ``select`` refuses are left out.

        :raises CheckpointCorrupt: a file is gone or changed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            files = [file for file in self._manifest(checkpoint) if select is None or select(file.path)]
            files.sort(key=lambda file: -file.size)
            in_parallel(lambda file: self._fetch(checkpoint, file, folder), files)
        except ObjectMissing as error:
            raise _corrupt(checkpoint, f"{error} is gone") from error
        except (ObjectDamaged, ValueError) as error:
            raise _corrupt(checkpoint, str(error)) from error
        return folder

    def _first(
        self, candidates: Iterable[Checkpoint], folder: Path, strict: bool, select: Select | None
    ) -> Checkpoint | None:
        failure: CheckpointCorrupt | None = None
        for number, checkpoint in enumerate(candidates):
            try:
                return at(checkpoint, self.download(checkpoint, folder / str(number), select))
            except CheckpointCorrupt as error:
                if strict:
                    raise
                warnings.warn(f"{error.summary} The one before it is tried.", stacklevel=4)
                shutil.rmtree(folder / str(number), ignore_errors=True)
                failure = failure or error
        if failure is not None:
            raise failure
        return None

    def _manifest(self, checkpoint: Checkpoint) -> list[File]:
        data = self._vault.read(f"{checkpoint.uri}/{manifests.NAME}")
        if checkpoint.manifest_sha256 and hashlib.sha256(data).hexdigest() != checkpoint.manifest_sha256:
            raise ValueError("its manifest has changed")
        return manifests.decode(data)

    def _fetch(self, checkpoint: Checkpoint, file: File, folder: Path) -> None:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with self._vault.open(below(checkpoint.uri, file.path)) as source, target.open("wb") as sink:
            while True:
                block = source.read(BLOCK)
                if not block:
                    break
                digest.update(block)
                size += len(block)
                sink.write(block)
        if size != file.size or digest.hexdigest() != file.sha256:
            raise ValueError(f"{file.path} has changed: {size} bytes instead of {file.size}, or others")


def _corrupt(checkpoint: Checkpoint, what: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(
        f"The checkpoint of step {checkpoint.step}, {checkpoint.uri}, is damaged: {what}.",
        advice="Restore an older one; something outside of this trial has changed or deleted its files.",
    )
