"""What runs inside a job. Importing this package imports nothing else: every process of a job does it.

For training code it has a few names, imported when they are used (``checkpointing`` 3.4)::

    from airflow_provider_kinetic import job

    t = job.trial()
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "trial": ".training.trials",
    "Trial": ".training.trials",
    "Keep": ".training.retention",
    "Checkpoint": ".training.checkpoints",
    "export_tensorboard": ".training.tensorboard",
    "Preempted": "..model.errors",
    "Superseded": "..model.errors",
    "CheckpointCorrupt": "..model.errors",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home, __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
