"""A function sees paths where its task was given data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError


@pytest.fixture
def place(tmp_path: Path, airflow, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/1", "b/2"):
        file = tmp_path / "place" / "digits" / name
        file.parent.mkdir(parents=True)
        file.write_text(name)
    airflow.db.variables["place"] = str(tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def dag(project, place):  # noqa: ARG001 (what the tasks name must be there)
    return project.dag("data")


def test_a_folder_and_a_file(airflow, dag):
    assert airflow.value(dag.get_task("listing")) == ["a/1", "b/2"]
    assert airflow.value(dag.get_task("of_file")) == "a/1"


def test_data_that_another_task_names(airflow, dag, place):
    airflow.value(dag.get_task("place"))
    assert airflow.value(dag.get_task("seen")) == ["Data", f"{place}/digits/a"]
    value = airflow.value(dag.get_task("of_dataclass"))
    assert value == ["Split", "a/1", True, "a/1"]


def test_one_task_for_each_data(airflow, dag):
    for index, name in enumerate(("a/1", "b/2")):
        assert airflow.value(dag.get_task("of_literals"), map_index=index) == name
        airflow.value(dag.get_task("each"), map_index=index)
    assert airflow.value(dag.get_task("of_mapped"), map_index=1) == "b/2"
    airflow.value(dag.get_task("names"))
    assert airflow.value(dag.get_task("of_kwargs"), map_index=1) == "b/2"


def test_the_data_of_all_tasks_of_a_mapped_one(airflow, dag):
    for index in range(2):
        airflow.value(dag.get_task("files"), map_index=index)
    assert airflow.value(dag.get_task("contents")) == ["a/1", "b/2", "a/1"]


@pytest.mark.parametrize(
    ("task_id", "said", "advice"),
    [
        ("absent", "/digits/absent does not exist on the worker", "gs://"),
        ("in_a_set", "argument 0: Data is a member of a set", "of its own"),
        ("unrendered", "argument 0['train'][0] is {{ var.value.place }}/digits, a template", "templated fields"),
    ],
)
def test_bad_data_is_found_before_anything_is_stored(airflow, dag, task_id, said, advice):
    error = airflow.run(dag.get_task(task_id)).error
    assert isinstance(error, ConfigurationError)
    assert said in error.summary
    assert advice in error.advice
    assert airflow.stored == []


def test_data_that_is_no_argument_is_a_value_and_a_warning(airflow, dag):
    result = airflow.run(dag.get_task("held"))
    assert result.value == "/held"
    assert any("Data outside of its arguments (/held)" in line for line in result.log)


@pytest.mark.parametrize("fuse", [False, True], ids=["copied", "linked"])
def test_volumes(airflow, project, place, fuse):
    dag = project.write(
        f"volumes_{fuse}",
        "import sys\n"
        "from pathlib import Path\n"
        "from airflow.sdk import DAG, task\n"
        "from airflow_provider_kinetic import Data\n"
        f"DIGITS = Data('{{{{ var.value.place }}}}/digits', fuse={fuse})\n"
        f"with DAG('volumes_{fuse}', schedule=None):\n"
        "    @task.kinetic(accelerator='cpu', container_image=sys.executable,\n"
        f"                  volumes={{'{place}/seen': DIGITS, '{place}/file': Data('digits/b/2')}})\n"
        "    def read(digits):\n"
        f"        return [Path('{place}/seen/a/1').read_text(), Path('{place}/file/2').read_text(),\n"
        "                Path(digits, 'b/2').read_text()]\n"
        "    read(DIGITS)\n",
    )
    assert airflow.value(dag.get_task("read")) == ["a/1", "b/2", "b/2"]
    assert sorted(path.name for path in place.iterdir()) == ["digits"], "nothing is left at the paths of the volumes"


READ = """
import json, sys
from airflow.sdk.listener import get_listener_manager
from airflow.sdk.serde import deserialize
xcom = json.loads(sys.argv[1])
try:
    deserialize(xcom)
except ImportError as error:
    print(error)
get_listener_manager()
print(deserialize(xcom))
"""


def test_every_process_that_runs_tasks_reads_data_from_xcom():
    """Its DAG file need not import this provider: such a process asks the plugins for listeners before all else."""
    data = {"path": "/x", "fuse": False, "hf_trust_remote_code": False}
    xcom = {"__classname__": "airflow_provider_kinetic.model.data.Data", "__version__": 1, "__data__": data}
    command = [sys.executable, "-c", READ, json.dumps(xcom)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()[-2:]
    assert "not found in allow list" in before
    assert after.startswith("Data(path='/x'")
