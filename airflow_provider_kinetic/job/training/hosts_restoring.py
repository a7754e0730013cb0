"""One download for all processes of a machine, and one choice for all processes of a group (``checkpointing`` 3.10).

Processes that share a machine share what they fetch: whoever comes first fetches, the others wait and take links to the
same verified bytes. The lock is the kernel's, so it ends with a process that dies; a file counts as fetched once it is
noted, which happens after it was verified.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint
from airflow_provider_kinetic.job.training.hosts import Group
from airflow_provider_kinetic.job.training.restoring import Restorer, Select
from airflow_provider_kinetic.job.training.saving import ENV_TMP
from airflow_provider_kinetic.job.vaults import Vault
from airflow_provider_kinetic.model.errors import CheckpointCorrupt

PREFIX = "kinetic-shared-"
FETCHED = "fetched.json"


class GroupRestorer(Restorer):
    """Restores for one process of a group. Files of one machine are links to each other: replace them, do not write
    into them."""

    def __init__(self, uri: str, vault: Vault, group: Group) -> None:
        super().__init__(uri, vault)
        self._group = group
        self._base = Path(os.environ.get(ENV_TMP) or tempfile.gettempdir())
        self._trial = f"{PREFIX}{_short(uri)}-"

    @contextlib.contextmanager
    def restored(
        self,
        candidates: Iterable[Checkpoint],
        *,
        strict: bool,
        select: Select | None = None,
        expected: Checkpoint | None = None,
    ) -> Iterator[Checkpoint | None]:
        """As for one process. Where each process selects its own files, all pass over a checkpoint that lacks any file,
        so that nobody falls back alone; bytes that changed under the same size are an error then. Processes of one
        machine wait for each other, so that none of them fetches what is only ``expected``."""
        expected = expected if len(self._group.here) < 2 else None
        if select is not None and not strict:
            candidates, strict = self._complete(candidates), True
        with super().restored(candidates, strict=strict, select=select, expected=expected) as found:
            yield found

    def download(self, checkpoint: Checkpoint, folder: Path, select: Select | None = None) -> Path:
        """What nobody of this machine has fetched, and links to the rest."""
        if len(self._group.here) < 2:
            return super().download(checkpoint, folder, select)
        with self._shared(checkpoint) as shared:
            fetched, wanted = _noted(shared), []

            def missing(path: str) -> bool:
                if select is not None and not select(path):
                    return False
                wanted.append(path)
                return path not in fetched

            super().download(checkpoint, shared / "files", missing)
            _note(shared, fetched.union(wanted))
            for path in wanted:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(shared / "files" / path, target)
            (shared / f"p{self._group.host.process}").touch()
            if all((shared / f"p{each}").exists() for each in self._group.here):
                shutil.rmtree(shared, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def close(self) -> None:
        """Remove what others of this machine have not come for, and what earlier lives left behind."""
        for folder in self._base.glob(f"{self._trial}*"):
            with contextlib.suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _shared(self, checkpoint: Checkpoint) -> Iterator[Path]:
        """A folder of this life, of which this process is the only user for the moment."""
        folder = self._base / f"{self._trial}{_short(self._group.nonce() + checkpoint.uri)}"
        while True:
            folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError), _locked(folder, fcntl.LOCK_EX):
                yield folder
                return

    def _complete(self, candidates: Iterable[Checkpoint]) -> Iterator[Checkpoint]:
        """Those that have all their files."""
        failure: CheckpointCorrupt | None = None
        for checkpoint in candidates:
            lacking = self._lacking(checkpoint)
            if lacking is None:
                yield checkpoint
                return
            if self._deleted(checkpoint):
                continue
            text = f"The checkpoint of step {checkpoint.step}, {checkpoint.uri}, is damaged: {lacking}."
            warnings.warn(f"{text} The one before it is tried.", stacklevel=4)
            failure = failure or CheckpointCorrupt(
                text, advice="Restore an older one; something outside of this trial has changed or deleted its files."
            )
        if failure is not None:
            raise failure

    def _lacking(self, checkpoint: Checkpoint) -> str | None:
        try:
            files = manifests.read(self._vault, checkpoint)
        except (ObjectMissing, ValueError) as error:
            return f"its manifest: {error}"
        sizes = {entry.name: entry.size for entry in self._vault.tree(checkpoint.uri)}
        return next((f"{file.path} is gone or cut" for file in files if sizes.get(file.path) != file.size), None)


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """:raises FileNotFoundError: it was removed while we waited. BlockingIOError: somebody is there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        if os.fstat(descriptor).st_ino != folder.stat().st_ino:
            raise FileNotFoundError(folder)
        yield
    finally:
        os.close(descriptor)


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _noted(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / FETCHED).read_bytes()))
    except (FileNotFoundError, ValueError):
        return set()


def _note(folder: Path, paths: set[str]) -> None:
    (folder / f"{FETCHED}.new").write_text(json.dumps(sorted(paths)))
    (folder / f"{FETCHED}.new").replace(folder / FETCHED)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
