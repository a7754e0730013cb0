"""Jobs run in containers of real images, started by the command that is in every pod."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from docker_engine import Engine
from docker_images import Builder

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

RunJob = Callable[..., Any]


def test_a_python_image_with_nothing_installed_runs_a_job(engine: Engine, bare: str, run_job: RunJob) -> None:
    assert engine.output(bare, "python3", "-c", "from importlib.metadata import *; print([*distributions()])") == "[]"
    assert run_job(bare, operator.add, 40, 2) == 42


def test_a_job_has_its_requirements_and_keras_on_jax(build: Builder, run_job: RunJob) -> None:
    def names() -> list[str]:
        import os

        import iniconfig
        import six

        return [iniconfig.__name__, six.__name__, os.environ["KERAS_BACKEND"]]

    image = build("iniconfig==2.0.0\n", packages=["six"])
    assert run_job(image, names) == ["iniconfig", "six", "jax"]


def test_a_job_need_not_be_root(build: Builder, run_job: RunJob) -> None:
    def identity() -> tuple[int, str, list[bool]]:
        import getpass
        import os
        from pathlib import Path

        home = Path.home()
        (home / "cache").mkdir()
        (Path("/app") / "result").write_text("x")
        return os.getuid(), getpass.getuser(), [os.access(path, os.W_OK) for path in ("/usr", "/", ".")]

    assert run_job(build(packages=["six"], non_root=True), identity) == (1000, "kinetic", [False, False, True])


def test_the_full_cpu_image_computes_with_jax(build: Builder, run_job: RunJob) -> None:
    def backend() -> tuple[str, str, float]:
        import jax
        import keras

        return keras.backend.backend(), jax.default_backend(), float(jax.numpy.arange(4.0).sum())

    assert run_job(build(), backend) == ("jax", "cpu", 6.0)
