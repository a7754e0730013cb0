"""What an editor knows of a function under ``kinetic_task``. Read by mypy, never run."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from airflow.sdk import DAG, XComArg
from airflow.sdk.bases.decorator import Task

from airflow_provider_kinetic import Data, kinetic_task


@kinetic_task
def bare(dataset: str, lr: float = 1e-3) -> dict[str, float]:
    return {dataset: lr}


@kinetic_task(
    accelerator="tpu-v5litepod-4",
    spot=True,
    requirements=["keras"],
    run_timeout=timedelta(hours=2),
    stop_grace=30,
    deferrable=True,
    retries=2,
)
def configured(dataset: str) -> int:
    return len(dataset)


@kinetic_task(volumes={"/weights": Data("gs://acme/{{ ds }}/", fuse=True)})
def reading(folder: str | Data) -> None: ...


def check(task: Task[[str], int]) -> None:
    """Takes tasks of this signature only."""


with DAG("typed"):
    check(configured)
    assert_type(bare("digits", lr=0.1), XComArg)
    assert_type(configured.override(task_id="other", retries=1)("digits"), XComArg)
    assert_type(configured.expand(dataset=["digits"]), XComArg)
    assert_type(configured.function("digits"), int)
    assert_type(reading(Data("gs://acme/digits/")), XComArg)
    assert_type(Data("~/digits"), Data)
