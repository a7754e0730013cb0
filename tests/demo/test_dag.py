"""The demo's DAG is a user's: light to read, and its jobs carry little."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.packaging.context import write_context
from airflow_provider_kinetic.packaging.payload import write_payload
from airflow_provider_kinetic.packaging.plan import plan_for

PROJECT = Path(__file__).resolve().parents[2]
DAG_FILE = PROJECT / "dags" / "kinetic_retrain.py"
PRINT_MODULES = f"""
import runpy, sys
runpy.run_path({str(DAG_FILE)!r})
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
"""In a process of its own: what other tests have imported does not count."""


def test_reading_it_imports_none_of_the_libraries_of_its_tasks() -> None:
    done = subprocess.run([sys.executable, "-c", PRINT_MODULES], capture_output=True, text=True, check=True)
    assert not {"jax", "orbax", "etils", "sklearn", "cloudpickle", "kubernetes"} & set(done.stdout.split())


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The function as Airflow's own file loading leaves it: in a module of a name that no job could import."""
    name = "unusual_prefix_of_a_dag_file"
    spec = importlib.util.spec_from_file_location(name, DAG_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.train.function
    return function


def test_its_training_travels_with_its_helper_and_nothing_else(train: Callable[..., Any], tmp_path: Path) -> None:
    warnings: list[str] = []
    plan = plan_for(train)
    payload = write_payload(
        tmp_path / "payload.pkl",
        train,
        ([[0] * 64], [0]),
        {"steps": 1, "save_every": 1},
        plan=plan,
        env_vars={},
        warn=warnings.append,
    )
    context = write_context(tmp_path / "context.zip", plan, warn=warnings.append)

    assert payload.modules == (train.__module__,)
    assert payload.artifact.size < 8 << 10
    assert context.size < 1 << 20
    assert warnings == []
