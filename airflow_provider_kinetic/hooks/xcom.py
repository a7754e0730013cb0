"""Lets our values pass XCom in an Airflow whose configuration knows nothing of them.

Airflow reads back only classes that ``[core] allowed_deserialization_classes`` names or that code has allowed in
the same process. Every process that runs a task loads the plugin, which calls :func:`allow_values` before anything is
read: also for a plain ``@task`` of a DAG file that never imports this provider.
"""

from __future__ import annotations

from airflow.sdk.serde import allow_class

from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint
from airflow_provider_kinetic.model.data import Data


def allow_values() -> None:
    """For the process that calls it; idempotent."""
    allow_class(Data)
    allow_class(KineticCheckpoint)
