"""Provider metadata. Imports nothing: every Airflow process calls this (``airflow`` 1.1)."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "airflow-provider-kinetic",
        "name": "Kinetic",
        "description": "Run Python functions as TPU, GPU or CPU jobs with Kinetic.",
        "task-decorators": [
            {"name": "kinetic", "class-name": "airflow_provider_kinetic.decorators.kinetic.kinetic_task"}
        ],
    }
