"""Getting checkpoints back: every byte of ours is compared with its digest before the user's code sees a file.

What differs is fetched once more: bytes that changed on the way must not send a training back to an older checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Optional

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.arrivals import Arrival, part_of
from airflow_provider_kinetic.job.storage import ObjectDamaged, ObjectMissing
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.checkpoints import KINETIC, Checkpoint, at, deleted, in_parallel
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.training.saving import ENV_TMP, METADATA, description
from airflow_provider_kinetic.job.vaults import Vault, below, open_vault
from airflow_provider_kinetic.model.errors import CheckpointCorrupt

Select = Callable[[str], bool]
Early = Callable[[Checkpoint], Optional[Path]]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Restorer:
    """Downloads from the store of one URI."""

    def __init__(self, uri: str, vault: Vault | None = None) -> None:
        self._vault = vault or open_vault(uri)

    @contextlib.contextmanager
    def restored(
        self,
        candidates: Iterable[Checkpoint],
        *,
        strict: bool,
        select: Select | None = None,
        expected: Checkpoint | None = None,
    ) -> Iterator[Checkpoint | None]:
        """The first candidate that is whole, with ``path``; None when there is no candidate.

        :param expected: most likely the first candidate: it is fetched while the store is asked which that is.
        :raises CheckpointCorrupt: none is whole; with ``strict``, the first is not.
        """
        folder = Path(tempfile.mkdtemp(prefix="kinetic-restore-", dir=os.environ.get(ENV_TMP) or None))
        try:
            with self._early(expected, folder / "0", select) as early:
                found = self._first(candidates, folder, strict, select, early)
            yield found
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def download(self, checkpoint: Checkpoint, folder: Path, select: Select | None = None) -> Path:
        """Fetch into ``folder``; files whose path ``select`` refuses are left out.

        :raises CheckpointCorrupt: a file is gone or changed, or the whole checkpoint was deleted.
        :raises OSError: it does not fit on this disk, or the store is away.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            listed = self._listed(checkpoint)
            files = [file for file in listed if select is None or select(file.path)]
            changed = self._fetch(checkpoint, files, folder)
            changed = changed and self._fetch(checkpoint, changed, folder)
            if changed:
                raise ValueError(
                    f"{changed[0].path} has changed: it has not the {changed[0].size} bytes that were saved"
                )
        except ObjectMissing as error:
            raise self._missing(checkpoint, error) from error
        except (ObjectDamaged, ValueError) as error:
            raise _corrupt(checkpoint, str(error)) from error
        except OSError as error:
            if error.errno in FULL:
                raise _too_large(checkpoint, folder, error) from error
            raise
        return folder

    def _missing(self, checkpoint: Checkpoint, what: ObjectMissing) -> CheckpointCorrupt:
        return deleted(checkpoint) if self._deleted(checkpoint) else _corrupt(checkpoint, f"{what} is gone")

    def _deleted(self, checkpoint: Checkpoint) -> bool:
        """Deliberately, by retention or somebody else, since it was listed: the record goes before the files. What is
        gone of Orbax's, which has no record, its manager is deleting."""
        return checkpoint.kind != KINETIC or self._vault.entry(checkpoint.layout.commit(checkpoint.name)) is None

    def _listed(self, checkpoint: Checkpoint) -> list[File]:
        """As its manifest says. Orbax's has none: as many files as were seen, and no digests."""
        if checkpoint.kind == KINETIC:
            return manifests.read(self._vault, checkpoint)
        files = manifests.listed(self._vault, checkpoint.uri)
        if len(files) < max(1, checkpoint.files):
            raise ObjectMissing(checkpoint.uri)
        return files

    def _first(
        self, candidates: Iterable[Checkpoint], folder: Path, strict: bool, select: Select | None, early: Early
    ) -> Checkpoint | None:
        failure: CheckpointCorrupt | None = None
        for number, checkpoint in enumerate(candidates):
            target = folder / str(number)
            try:
                return at(checkpoint, early(checkpoint) or self.download(checkpoint, target, select))
            except CheckpointCorrupt as error:
                if strict:
                    raise
                shutil.rmtree(target, ignore_errors=True)
                if not self._deleted(checkpoint):
                    warnings.warn(f"{error.summary} The one before it is tried.", stacklevel=4)
                    failure = failure or error
        if failure is not None:
            raise failure
        return None

    @contextlib.contextmanager
    def _early(self, expected: Checkpoint | None, folder: Path, select: Select | None) -> Iterator[Early]:
        """Fetches what is expected. The first call takes it, if it is what is wanted; else it is thrown away."""
        begun: list[Future[Path]] = []

        def take(wanted: Checkpoint) -> Path | None:
            while begun:
                fetched = begun.pop()
                if wanted == expected:
                    return fetched.result()
                wait([fetched])
                shutil.rmtree(folder, ignore_errors=True)
            return None

        with ThreadPoolExecutor(1, "kinetic-restore") as pool:
            if expected is not None:
                with contextlib.suppress(RuntimeError):  # the interpreter ends: no thread begins any more
                    begun.append(pool.submit(self.download, expected, folder, select))
            yield take

    def _fetch(self, checkpoint: Checkpoint, files: Sequence[File], folder: Path) -> list[File]:
        """Those that are not what was saved. Parts with most behind them come first: large files take longest."""
        size = part_of(sum(file.size for file in files))
        arriving = []
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if file.path == METADATA and _told(checkpoint, file):
                target.write_bytes(description(checkpoint.step, checkpoint.metadata))
                continue
            arriving.append(Arrival(self._vault, below(checkpoint.uri, file.path), file, target, size))
        parts = [(each, start) for each in arriving for start in each.parts]
        parts.sort(key=lambda part: part[1] - part[0].file.size)
        in_parallel(lambda part: part[0].fetch(part[1]), parts)
        return [each.file for each in arriving if not each.whole]


def _told(checkpoint: Checkpoint, file: File) -> bool:
    """Whether the record has all that is in its description: the smallest file would cost a round trip of its own."""
    return digests.of_bytes(description(checkpoint.step, checkpoint.metadata)) == file.digest


def _too_large(checkpoint: Checkpoint, folder: Path, error: OSError) -> OSError:
    text = f"{error.strerror}: the checkpoint of step {checkpoint.step} has {checkpoint.bytes} bytes and is fetched to"
    return OSError(error.errno, f"{text} {folder}; the environment variable {ENV_TMP} names a folder on another disk")


def _corrupt(checkpoint: Checkpoint, what: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(
        f"The checkpoint of step {checkpoint.step}, {checkpoint.uri}, is damaged: {what}.",
        advice="Restore an older one; something outside of this trial has changed or deleted its files.",
    )
