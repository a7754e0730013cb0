"""Files and folders to hash and send."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow_provider_kinetic.packaging.data_hash import content_hash
from airflow_provider_kinetic.packaging.data_tree import scan


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def sparse(path: Path, size: int) -> Path:
    """A file that has a size and no blocks."""
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


def hash_of(path: Path) -> str:
    return content_hash(scan(path))
