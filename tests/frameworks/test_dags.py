"""The examples as DAGs: ``dag.test()`` of a real Airflow, with jobs in an environment that has their packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frameworks import EXAMPLES, PYTHON, ROOT

DRIVER = """
import json
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import upgradedb

upgradedb()
for line in sys.stdin:
    file, environment = json.loads(line)
    (dag,) = DagBag(file, load_op_links=False).dags.values()
    for task in dag.tasks:
        task.container_image, task.requirements, task.retries = environment, None, 0
    run = dag.test()
    values = {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in run.get_task_instances()}
    print("RESULT", json.dumps([str(run.state), values]), flush=True)
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """An Airflow with a database and a connection to this machine; each start of one costs seconds."""
    folder = tmp_path_factory.mktemp("airflow")
    extra = {"platform": "local", "bucket": str(folder / "bucket")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "KINETIC"))}
    environ = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__KINETIC__MIN_DWELL": "0",
        "AIRFLOW__KINETIC__POLL_INTERVAL": "0.1",
        "AIRFLOW_CONN_KINETIC_DEFAULT": json.dumps({"conn_type": "kinetic", "extra": extra}),
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        env=environ,
        cwd=folder,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.kill()


def run(airflow: subprocess.Popen[str], example: str, environment: str | Path) -> Any:
    """The value of the only task of a run that succeeds."""
    assert airflow.stdin is not None
    assert airflow.stdout is not None
    print(json.dumps([str(EXAMPLES / example), str(environment)]), file=airflow.stdin, flush=True)
    said: list[str] = []
    while not said or not said[-1].startswith("RESULT "):
        said.append(airflow.stdout.readline())
        assert said[-1], "".join(said)
    state, values = json.loads(said[-1].removeprefix("RESULT "))
    assert state == "success", "".join(said)
    assert list(values) == ["train"]
    return values["train"]


def test_each_run_of_determined_s_port_goes_on(airflow):
    assert run(airflow, "determined_port.py", sys.executable) == {"first": 0, "last": 99}
    assert run(airflow, "determined_port.py", sys.executable) == {"first": 99, "last": 198}


def test_orbax(airflow):
    result = run(airflow, "jax_orbax.py", PYTHON)
    assert (result["steps"], result["went_on_after"]) == (1_000, 0)
    assert result["loss"] < 0.1


def test_keras(airflow):
    result = run(airflow, "keras_checkpoint.py", PYTHON)
    assert (result["epochs"], result["went_on_after"]) == (20, 0)
    assert result["loss"] < 0.1


def test_torch(torch, airflow):  # noqa: ARG001 - in this order: no Airflow for a test that is skipped
    result = run(airflow, "torch_checkpoint.py", PYTHON)
    assert (result["steps"], result["went_on_after"]) == (2_000, 0)
    assert result["loss"] < 0.1
