"""A DAG file that names our classes loads none of what they need to work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FORBIDDEN = {"kubernetes", "kubernetes_asyncio", "grpc", "jax", "cloudpickle"}
PLAIN = """
from airflow.sdk import DAG, task

with DAG("plain", schedule=None):

    @task
    def work(): ...

    work()
"""
OURS = """
from airflow.sdk import DAG, task

from airflow_provider_kinetic import (
    KineticBuildImageOperator,
    KineticCleanupOperator,
    KineticCollectOperator,
    KineticError,
    KineticHook,
    KineticJobSensor,
    KineticRunOperator,
    KineticSubmitOperator,
    kinetic_task,
    load_result,
)

with DAG("ours", schedule=None):

    @task.kinetic(accelerator="tpu-v5litepod-4", requirements=["jax"], secrets={"TOKEN": "{{ var.value.token }}"})
    def work(x=1): ...

    @kinetic_task
    def more(): ...

    build = KineticBuildImageOperator(task_id="build", requirements=["jax"])
    run = KineticRunOperator.partial(task_id="run", python_callable=print, deferrable=True).expand(op_args=[[1], [2]])
    submit = KineticSubmitOperator(task_id="submit", python_callable=print)
    done = KineticJobSensor(task_id="done", job=submit.output["kinetic_job"])
    value = KineticCollectOperator(task_id="collect", job_id=submit.output)
    clean = KineticCleanupOperator(task_id="clean", job_id=submit.output).as_teardown()
    build >> [work(), more(), run, submit] >> done >> value >> clean
"""
LOADED = """
import json, runpy, sys
runpy.run_path(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""

Loads = Callable[[str], set[str]]


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    """The modules that a fresh interpreter has loaded after a DAG file."""

    def loads(text: str) -> set[str]:
        file = tmp_path / "dag_file.py"
        file.write_text(text)
        done = subprocess.run([sys.executable, "-c", LOADED, str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout.splitlines()[-1]))

    return loads


def test_a_dag_file_loads_operators_and_no_more(loads: Loads) -> None:
    added = loads(OURS) - loads(PLAIN)

    assert {name.partition(".")[0] for name in added} & (FORBIDDEN | {"google"}) == set()
    ours = {name.split(".")[1] for name in added if name.startswith("airflow_provider_kinetic.")}
    assert ours == {"decorators", "hooks", "links", "model", "operators", "sensors"}
    assert {name for name in added if name.startswith("airflow_provider_kinetic.model.")} == {
        "airflow_provider_kinetic.model.errors"
    }


def test_a_triggerer_loads_no_sdk_with_the_trigger(loads: Loads) -> None:
    added = loads("import airflow_provider_kinetic.triggers.job") - loads("import airflow.triggers.base")

    assert {name.partition(".")[0] for name in added} & (FORBIDDEN | {"google"}) == set()
