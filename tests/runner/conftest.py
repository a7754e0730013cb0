"""Jobs of one trial."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from runner_job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def another(tmp_path: Path) -> Callable[[str], Job]:
    """Further jobs of the same trial."""
    return lambda job_id: Job(tmp_path, job_id=job_id)


@pytest.fixture
def by_value() -> Iterator[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """Functions of a test module travel by value, as those of a DAG file do."""
    registered = set()

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        module = sys.modules[function.__module__]
        if module not in registered:
            cloudpickle.register_pickle_by_value(module)
            registered.add(module)
        return function

    yield register
    for module in registered:
        cloudpickle.unregister_pickle_by_value(module)
