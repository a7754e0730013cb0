"""Editors and type checkers know what the package offers and what a task takes."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import airflow_provider_kinetic
from airflow_provider_kinetic.decorators.kinetic import kinetic_task
from airflow_provider_kinetic.operators.job import KineticJobOperator
from airflow_provider_kinetic.operators.run import KineticRunOperator

ROOT = Path(__file__).parents[2]
EDITOR = Path(__file__).parent / "editor"
OF_THE_FUNCTION = {"self", "kwargs", "python_callable", "op_args", "op_kwargs"}


@pytest.mark.types
def test_mistakes_are_marked_and_nothing_else():
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(EDITOR / "good.py"), str(EDITOR / "bad.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    marked = set(re.findall(r"(\w+)\.py:(\d+): error", done.stdout))
    lines = (EDITOR / "bad.py").read_text().splitlines()
    assert marked == {("bad", str(n)) for n, line in enumerate(lines, 1) if line.endswith("# error")}, done.stdout


def test_the_decorator_names_every_parameter_of_the_operator():
    bare, configured = typing.get_overloads(kinetic_task)
    parameters = {}
    for operator in (KineticJobOperator, KineticRunOperator):
        parameters.update(inspect.signature(operator.__init__).parameters)
    theirs = {name: item.annotation for name, item in parameters.items() if name not in OF_THE_FUNCTION}
    ours = {name: item.annotation for name, item in inspect.signature(configured).parameters.items()}

    assert list(inspect.signature(bare).parameters) == ["python_callable"]
    assert {name: ours[name] for name in ours if name not in ("multiple_outputs", "kwargs")} == theirs


def test_names_of_the_package_are_typed_where_they_are_imported_late():
    (stub,) = Path(airflow_provider_kinetic.__file__).parent.glob("__init__.pyi")
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    typed = {
        name.asname: getattr(__import__(node.module, fromlist=["x"]), name.name)
        for node in nodes
        for name in node.names
    }

    assert typed == {name: getattr(airflow_provider_kinetic, name) for name in airflow_provider_kinetic._HOME}
