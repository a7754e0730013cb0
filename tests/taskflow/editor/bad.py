"""Mistakes that an editor has to mark: every line that ends in ``# error``."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_kinetic import kinetic_task


@kinetic_task(accelerator=4)  # error
def number() -> None: ...


@kinetic_task(spot="yes")  # error
def text() -> None: ...


@kinetic_task(secrets=["TOKEN"])  # error
def names() -> None: ...


@kinetic_task
def bare(dataset: str, lr: float = 1e-3) -> None: ...


with DAG("typed"):
    bare(lr=0.1)  # error
    bare("digits", rate=0.1)  # error
    bare("digits", lr="fast")  # error
