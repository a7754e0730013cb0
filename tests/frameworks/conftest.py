"""Processes in the environment `.frameworks`, each killed at the end of its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from frameworks import PYTHON, Script, has


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies here is of the group."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.frameworks)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """``script("-c", code)`` or ``script(EXAMPLES / "jax_orbax.py")`` in ``tmp_path``; keywords are its environment."""
    assert PYTHON.exists(), "make .frameworks/.ready"
    running: list[Script] = []

    def start(*arguments: str | Path, folder: Path = tmp_path, **env: str) -> Script:
        running.append(Script(*arguments, folder=folder, **env))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def torch() -> None:
    """A test that needs it is skipped where it is absent: `.ci/run` knows this line."""
    if not has("torch"):
        pytest.skip("torch is not installed in .frameworks")
