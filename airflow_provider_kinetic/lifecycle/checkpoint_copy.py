"""A checkpoint as a folder of its own, outside of its trial.

To this machine every file is compared with its digest and the folder appears when all are there; within the store the
service copies, and what has arrived is compared with what was copied. Either way the copy needs nothing of the trial.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.storage import ObjectMissing, uri_to_path
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.checkpoints import KINETIC
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.vaults import below
from airflow_provider_kinetic.lifecycle.reader_facts import COMPLETED, PARTIALLY_DELETED, CheckpointInfo
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.vault import AT_A_TIME, StoreVault


def copy_checkpoint(store: Store, checkpoint: CheckpointInfo, destination: str) -> str:
    """Copy to ``destination``: a folder of this machine, or a ``gs://`` URI in the store of a ``gs://`` checkpoint.

    :returns: the destination as it can be used: a path or a URI.
    :raises ConfigurationError: there is something at the destination, or the checkpoint is not complete.
    :raises CheckpointCorrupt: files of the checkpoint are gone or changed.
    """
    if checkpoint.state not in (COMPLETED, PARTIALLY_DELETED):
        raise ConfigurationError(f"Checkpoint {checkpoint.name} is {checkpoint.state}: there is nothing to copy.")
    files = _files(store, checkpoint)
    try:
        if destination.startswith("gs://"):
            return _within(store, checkpoint, files, destination.rstrip("/"))
        folder = uri_to_path(destination) if "://" in destination else Path(destination)
        return str(_fetched(store, checkpoint, files, folder.absolute()))
    except ObjectMissing as error:
        raise _corrupt(checkpoint, f"{error} is gone") from error


def _files(store: Store, checkpoint: CheckpointInfo) -> Sequence[File]:
    """As the manifest says; those of Orbax, which has none, as they are listed and without a digest."""
    try:
        if checkpoint.kind != KINETIC:
            return manifests.listed(StoreVault(store), checkpoint.uri)
        data = store.read(f"{checkpoint.uri}/{manifests.NAME}")
        listed = manifests.decode(data)
    except (ObjectMissing, ValueError) as error:
        raise _corrupt(checkpoint, f"what it consists of cannot be told ({error})") from error
    return [*listed, File(manifests.NAME, len(data), digests.of_bytes(data), edge="", version="")]


def _fetched(store: Store, checkpoint: CheckpointInfo, files: Sequence[File], folder: Path) -> Path:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigurationError(f"There is something in {folder} already.", advice="Name a folder that is not there.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".kinetic-copy-", dir=folder.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        _at_a_time(partial(_fetch, store, checkpoint, made), files)
        if folder.is_dir():
            folder.rmdir()
        shutil.move(made, folder)
    return folder


def _fetch(store: Store, checkpoint: CheckpointInfo, folder: Path, file: File) -> None:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    store.download(_source(checkpoint, file), target)
    if target.stat().st_size != file.size or (file.digest and digests.of_file(target) != file.digest):
        raise _corrupt(checkpoint, f"{file.path} has changed")


def _within(store: Store, checkpoint: CheckpointInfo, files: Sequence[File], target: str) -> str:
    if store.list(f"{target}/", limit=1):
        raise ConfigurationError(f"There is something under {target}/ already.", advice="Name a place that is empty.")
    *content, last = sorted(files, key=lambda file: file.path == manifests.NAME)
    _at_a_time(lambda file: store.copy(_source(checkpoint, file), f"{target}/{file.path}"), content)
    store.copy(_source(checkpoint, last), f"{target}/{last.path}")
    arrived = {info.uri[len(target) + 1 :]: info.size for info in store.list(f"{target}/")}
    wrong = [file.path for file in files if arrived.get(file.path) != file.size]
    if wrong:
        raise _corrupt(checkpoint, f"{', '.join(wrong[:3])}: another size than the manifest says")
    return target


def _source(checkpoint: CheckpointInfo, file: File) -> str:
    return below(checkpoint.uri, file.path)


def _at_a_time(call: Callable[[File], object], files: Sequence[File]) -> None:
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="kinetic-copy") as pool:
        for _ in pool.map(call, files):
            pass


def _corrupt(checkpoint: CheckpointInfo, what: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(
        f"The checkpoint of step {checkpoint.step}, {checkpoint.uri}, is damaged: {what}.",
        advice="Copy an older one; something outside of this trial has changed or deleted its files.",
    )
