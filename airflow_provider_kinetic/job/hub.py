"""Datasets of the Hugging Face hub, loaded by its own library and saved as a folder (contract 7.6)."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job.references import DataReference, HubDataset
from airflow_provider_kinetic.job.storage import TEMPORARY


def load(reference: DataReference, folder: Path, workspace: Path) -> None:
    """Save the dataset into ``folder``, as ``datasets.load_from_disk`` reads it: whole or not at all.

    :param workspace: the user's project, whose modules must not stand in the place of the library.
    :raises RuntimeError: there is no library, or it could not load the dataset.
    """
    library = _library(reference.uri, workspace)
    wanted = HubDataset.parse(reference.uri, lenient=True)
    options: dict[str, Any] = {"name": wanted.config_name, "split": wanted.split, "revision": wanted.revision}
    if reference.hf_trust_remote_code:  # newer releases of the library no longer know it
        options["trust_remote_code"] = True
        print(f"kinetic: {wanted.repo} may run code of its own (`hf_trust_remote_code=True`)", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as draft:
        try:
            dataset = library.load_dataset(wanted.repo, cache_dir=str(Path(draft, "cache")), **options)
            dataset.save_to_disk(str(Path(draft, "saved")))
        except Exception as error:
            raise RuntimeError(
                f"{reference.uri} could not be loaded: {type(error).__name__}: {error}. Look at the dataset's name and "
                "options; a private one needs HF_TOKEN among the task's `secrets`."
            ) from error
        _move(Path(draft, "saved"), folder)


def _move(saved: Path, folder: Path) -> None:
    """One rename for each entry: ``folder`` may be a mount of its own."""
    for entry in sorted(saved.iterdir()):
        target = folder / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        entry.replace(target)


def _library(uri: str, workspace: Path) -> Any:
    """``datasets``: many projects have a folder of this name, so the project is off the path while it is imported."""
    path = list(sys.path)
    root = os.path.realpath(workspace)
    sys.path[:] = [entry for entry in path if not _inside(entry, root)]
    importlib.invalidate_caches()
    try:
        found = importlib.import_module("datasets")
    except ImportError as error:
        raise RuntimeError(
            f"{uri} needs the package `datasets` ({error}). Add it to `requirements`, or to the image."
        ) from error
    finally:
        sys.path[:] = path
        importlib.invalidate_caches()
    if not hasattr(found, "load_dataset"):
        where = getattr(found, "__file__", None) or "the project"
        raise RuntimeError(
            f"{uri} needs the package `datasets`, but a module of this name comes from {where}. Rename it."
        )
    return found


def _inside(entry: str, root: str) -> bool:
    real = os.path.realpath(entry or os.curdir)
    return real == root or real.startswith(root + os.sep)
