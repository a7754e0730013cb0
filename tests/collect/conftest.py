"""A DAG file and a local platform for every test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        yield shop


@pytest.fixture(scope="session")
def another_python() -> tuple[str, str]:
    """Version and path of an interpreter of another minor version than ours."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    known = [shutil.which(f"python3.{minor}") or "" for minor in range(9, 16)]
    beside = [str(path) for path in Path(sys.base_prefix).parent.glob("*/bin/python3")]
    for interpreter in filter(None, [*known, *beside]):
        question = "import sys; print(sys.executable, *sys.version_info[:2])"
        asked = subprocess.run([interpreter, "-c", question], capture_output=True, text=True, check=False)
        path, *version = asked.stdout.split() or [""]
        if path and ".".join(version) != ours and int(version[1]) >= 9:
            return ".".join(version), path
    pytest.skip("no interpreter of another version on this machine")
