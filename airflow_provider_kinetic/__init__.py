"""Run Python functions as TPU, GPU or CPU jobs from Airflow.

Names are imported when they are first used: provider discovery imports this package in every Airflow
process, and so does the job itself, where nothing but ``job`` and a few value types exist.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "job": ".job",
    "Data": ".model.data",
    "KineticCheckpoint": ".model.checkpoint",
    "load_result": ".hooks.kinetic",
    "KineticHook": ".hooks.kinetic",
    "KineticBuildImageOperator": ".operators.build_image",
    "KineticRunOperator": ".operators.run",
    "KineticSubmitOperator": ".operators.submit",
    "KineticCollectOperator": ".operators.collect",
    "KineticCleanupOperator": ".operators.cleanup",
    "KineticJobSensor": ".sensors.job",
    "kinetic_task": ".decorators.kinetic",
    "KineticError": ".model.errors",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(home, __name__)
    return module if name == "job" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
