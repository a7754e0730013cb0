"""A DAG file that names our classes loads none of what they need to work."""

from __future__ import annotations

import json
import subprocess
import sys

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
    Data,
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
    def work(x=1, data=Data("gs://acme/{{ ds }}/")): ...

    @kinetic_task
    def more(data): ...

    build = KineticBuildImageOperator(task_id="build", requirements=["jax"])
    run = KineticRunOperator.partial(task_id="run", python_callable=print, deferrable=True).expand(op_args=[[1], [2]])
    submit = KineticSubmitOperator(task_id="submit", python_callable=print, volumes={"/data": Data("/absent")})
    done = KineticJobSensor(task_id="done", job=submit.output["kinetic_job"])
    value = KineticCollectOperator(task_id="collect", job_id=submit.output)
    clean = KineticCleanupOperator(task_id="clean", job_id=submit.output).as_teardown()
    build >> [work(), more(Data("~/absent")), run, submit] >> done >> value >> clean
"""
STEPS = [("plain", PLAIN), ("ours", OURS), ("triggerer", "import airflow.triggers.base")]
STEPS.append(("trigger", "import airflow_provider_kinetic.triggers.job"))
LOADED = """
import json, runpy, sys
loaded = {}
for step in sys.argv[1:]:
    before = set(sys.modules)
    runpy.run_path(step)
    loaded[step] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What a fresh interpreter loads in each step, beyond what the steps before have loaded."""
    folder = tmp_path_factory.mktemp("steps")
    for step, text in STEPS:
        (folder / step).write_text(text)
    command = [sys.executable, "-c", LOADED, *(step for step, _ in STEPS)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {step: set(names) for step, names in json.loads(done.stdout.splitlines()[-1]).items()}


def top_levels(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_a_dag_file_loads_operators_and_no_more(loaded: dict[str, set[str]]) -> None:
    assert top_levels(loaded["plain"] | loaded["ours"]) & FORBIDDEN == set()
    assert "google" not in top_levels(loaded["ours"])
    ours = {name.split(".")[1] for name in loaded["ours"] if name.startswith("airflow_provider_kinetic.")}
    assert ours == {"decorators", "hooks", "job", "links", "model", "operators", "sensors"}
    nouns = {name.partition(".")[2] for name in loaded["ours"] if ".model." in name or ".job." in name}
    assert nouns == {"model.data", "model.errors", "model.resume", "job.references", "job.storage", "job.exclusive"}


def test_a_trigger_loads_no_sdk(loaded: dict[str, set[str]]) -> None:
    assert "airflow_provider_kinetic.triggers.job" in loaded["trigger"]
    assert top_levels(loaded["trigger"]) & (FORBIDDEN | {"google"}) == set()
