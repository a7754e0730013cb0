"""The names of another system, in this process and as scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from airflow_provider_kinetic.job.compat import advice
from airflow_provider_kinetic.job.compat import core_v2 as module


@pytest.fixture
def core_v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """As in a script of its own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(advice, "_said", set())
    yield module
    module.close()
