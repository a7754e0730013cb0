"""Folders of small and large files, written, read and made up."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

IN_CLOUD_STORAGE = pytest.mark.parametrize("place", ["gs"], indirect=True)
"""What files of this machine have no counterpart of."""
ON_THIS_MACHINE = pytest.mark.parametrize("place", ["file"], indirect=True)
"""What Cloud Storage has no counterpart of."""


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop("metadata.json", None)
    return found


def noise(seed: Any, size: int) -> bytes:
    return random.Random(str(seed)).randbytes(size)
