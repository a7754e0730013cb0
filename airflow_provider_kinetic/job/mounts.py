"""Data that is mounted and not downloaded: the cluster has done it, here it is only looked at (contract 11.4)."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.job.storage import is_temporary


def mounted(reference: DataReference) -> Path:
    """The mounted folder, or the file in it where the reference is for one.

    A bucket is mounted by folder, so a file is found by its name. Only uploaded data has a folder for itself, whose one
    file may have any name: the reference does not tell it.

    :raises RuntimeError: nothing is mounted, or the file is not there.
    """
    folder = Path(str(reference.mount_path))
    names = _names(reference, folder)
    if reference.is_dir:
        return folder
    name = reference.uri.rpartition("/")[2]
    if reference.content_hash and len(names) == 1:
        name = names[0]
    if name not in names and not (folder / name).exists():
        raise RuntimeError(f"{reference.uri} is not there: {folder} holds {_few(names)}. {AGE}")
    return folder / name


AGE = "Objects of a jobs bucket are removed after 30 days: clear the task that submits, and they are sent again."


def _names(reference: DataReference, folder: Path) -> list[str]:
    """What is in it; of a folder of the user's only that it can be listed, for it may be large."""
    try:
        with os.scandir(folder) as entries:
            if not reference.content_hash:
                next(entries, None)
                return []
            return [entry.name for entry in entries if not is_temporary(entry.name)]
    except OSError as error:
        raise RuntimeError(
            f"{reference.uri} is not mounted at {folder}: {error.strerror}. Mounts need GKE with the Cloud Storage "
            "FUSE CSI driver, and a service account that may read the bucket. Elsewhere leave `fuse=True` out."
        ) from error


def _few(names: list[str]) -> str:
    return ", ".join(sorted(names)[:5]) or "nothing"
