"""DAGs of every shape around ``@task.kinetic``. What each task returns stands in test_shapes.py."""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow.sdk import DAG, chain, result, task, task_group

from airflow_provider_kinetic import KineticRunOperator

JOB = {"accelerator": "cpu", "container_image": sys.executable}


def stage():
    return os.environ["STAGE"]


with DAG("shapes", schedule=None, default_args=JOB) as dag:

    @task
    def options():
        return [{"x": 1}, {"x": 2, "y": 20}]

    @task.kinetic
    def add(x, y=10):
        return x + y

    add.expand(x=[1, 2])
    add.override(task_id="partial").partial(y=100).expand(x=[1, 2])
    add.override(task_id="kwargs").expand_kwargs(options())
    add.override(task_id="overridden", retries=3, env_vars={"A": "b"}, deferrable=True)(5)
    KineticRunOperator.partial(task_id="machines", python_callable=stage, **JOB).expand(
        env_vars=[{"STAGE": "one"}, {"STAGE": "two"}]
    )

    @task.kinetic
    def made(name: str) -> str:
        return f"{name} made"

    @task.kinetic
    def removed(name: str) -> str:
        return f"{name} removed"

    @task_group
    def group(name):
        up, down = made.override(task_id="up")(name), removed.override(task_id="down")(name)
        chain(up.as_setup(), add.override(task_id="inside")(1), down.as_teardown(setups=up))

    group("table")


with DAG("outputs", schedule=None, default_args=JOB):

    @task.kinetic(multiple_outputs=True)
    def explicit():
        return {"loss": 0.5, "steps": [1, 2]}

    @task.kinetic
    def inferred() -> dict[str, Any]:
        return {"loss": 0.25}

    @task.kinetic(multiple_outputs=False)
    def declined() -> dict[str, Any]:
        return {"loss": 0.25}

    @task.kinetic(multiple_outputs=True)
    def large():
        return {"text": "x" * 100_000}

    @task.kinetic(multiple_outputs=True)
    def no_mapping():
        return [1, 2]

    @task.kinetic(multiple_outputs=True)
    def number_as_key():
        return {1: "one"}

    @task.kinetic(multiple_outputs=True)
    def set_as_value():
        return {"a": 1, "b": {2}}

    @task.kinetic(do_xcom_push=False)
    def silent():
        return "unheard"

    @task.kinetic
    def nothing():
        pass

    @result
    @task.kinetic
    def final():
        return "the result of the run"

    explicit()
    inferred()
    declined()
    large()
    no_mapping()
    number_as_key()
    set_as_value()
    silent()
    nothing()
    final()
