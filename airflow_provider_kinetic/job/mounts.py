"""Data that is mounted and not downloaded: the cluster has done it, here it is only looked at (contract 11.4)."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from airflow_provider_kinetic.job.references import EMPTY_FOLDER, DataReference
from airflow_provider_kinetic.job.storage import is_temporary


def mounted(reference: DataReference) -> Path:
    """The mounted folder, or the file in it where the reference is for one.

    A bucket is mounted by folder, so a file is found by its name. Only uploaded data has a folder for itself, whose one
    file may have any name: the reference does not tell it.

    :raises RuntimeError: nothing is mounted, or the data is not there.
    """
    folder = Path(str(reference.mount_path))
    names = _first_names(reference, folder)
    if reference.content_hash and not names and reference.content_hash != EMPTY_FOLDER:
        raise RuntimeError(f"the data at {reference.uri} is gone: {folder} is empty. {AGE}")
    if reference.is_dir:
        return folder
    uploaded = reference.content_hash and len(names) == 1
    file = folder / (names[0] if uploaded else reference.uri.rpartition("/")[2])
    if not file.exists():
        raise RuntimeError(f"{reference.uri} is not there: {folder} holds {', '.join(names) or 'nothing'}")
    return file


AGE = "Objects of a jobs bucket are removed after 30 days: clear the task that submits, and they are sent again."

_FEW = 5


def _first_names(reference: DataReference, folder: Path) -> list[str]:
    """Some of what is in it: it may be large, and every look is a request."""
    try:
        with os.scandir(folder) as entries:
            return list(itertools.islice((entry.name for entry in entries if not is_temporary(entry.name)), _FEW))
    except OSError as error:
        raise RuntimeError(
            f"{reference.uri} is not mounted at {folder}: {error.strerror}. Mounts need GKE with the Cloud Storage "
            "FUSE CSI driver, and a service account that may read the bucket. Elsewhere leave `fuse=True` out."
        ) from error
