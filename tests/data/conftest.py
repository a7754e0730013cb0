from __future__ import annotations

from pathlib import Path

import pytest
from data_trees import write


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return write(tmp_path / "hello", {"hello.txt": b"hello\n"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """T of the contract's test vectors."""
    root = write(tmp_path / "T", {"b.txt": b"B", "a/z.bin": bytes(range(256)), "a.txt": b"", "a/inner/k": b"k"})
    (root / "empty").mkdir()
    return root
