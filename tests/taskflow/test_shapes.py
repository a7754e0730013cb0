"""Tasks of jobs take their places in a DAG as any other TaskFlow task does."""

from __future__ import annotations

import copy

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_kinetic.links.build import BUILD_LINK
from airflow_provider_kinetic.links.job import LINKS
from airflow_provider_kinetic.model.errors import ResultError, ResultTooLarge


@pytest.fixture
def dag(project):
    return project.dag("shapes")


@pytest.fixture
def outputs(project):
    return project.dag("shapes", "outputs")


@pytest.mark.parametrize(
    ("task_id", "index", "value"),
    [("add", 1, 12), ("partial", 0, 101), ("machines", 1, "two")],
)
def test_mapped_tasks_run_with_their_own_arguments(airflow, dag, task_id, index, value):
    result = airflow.run(dag.get_task(task_id), map_index=index)

    assert result.value == value, result.log
    assert result.xcoms["kinetic_job"]["map_index"] == index
    assert result.xcoms["output_dir"].endswith(f"/shapes/{task_id}/run_1/{index}")


def test_arguments_are_expanded_from_dicts_of_an_upstream_task(airflow, dag):
    airflow.value(dag.get_task("options"))
    assert airflow.value(dag.get_task("kwargs"), map_index=1) == 22


def test_a_task_is_overridden(airflow, dag):
    task = dag.get_task("overridden")
    assert (task.retries, task.env_vars, task.deferrable, task.accelerator) == (3, {"A": "b"}, True, "cpu")

    result = airflow.run(task)

    assert (result.value, len(result.deferrals)) == (15, 1)


def test_setup_work_and_teardown_in_a_group(airflow, dag):
    up, inside, down = (dag.get_task(f"group.{name}") for name in ("up", "inside", "down"))

    assert (up.is_setup, down.is_teardown) == (True, True)
    assert inside.upstream_task_ids == {"group.up"}
    assert down.upstream_task_ids == {"group.up", "group.inside"}
    assert airflow.value(up) == "table made"
    assert airflow.value(down) == "table removed"


@pytest.mark.parametrize(
    ("task_id", "value", "keys"),
    [
        ("explicit", {"loss": 0.5, "steps": [1, 2]}, {"loss", "steps"}),
        ("inferred", {"loss": 0.25}, {"loss"}),
        ("declined", {"loss": 0.25}, set()),
    ],
)
def test_outputs_of_several_keys(airflow, outputs, task_id, value, keys):
    xcoms = airflow.run(outputs.get_task(task_id)).xcoms

    assert xcoms["return_value"] == value
    assert {key: xcoms[key] for key in keys} == {key: value[key] for key in keys}
    assert ("loss" in xcoms) == bool(keys)


def test_outputs_of_several_keys_have_to_fit_into_xcom(airflow, outputs):
    result = airflow.run(outputs.get_task("large"))

    assert result.state == "failed"
    assert isinstance(result.error, ResultTooLarge)
    assert "xcom_max_bytes" in result.error.advice
    assert "text" not in result.xcoms


@pytest.mark.parametrize(
    ("task_id", "said"),
    [("no_mapping", "returned list"), ("number_as_key", "the key 1"), ("set_as_value", "set under 'b'")],
)
def test_outputs_of_several_keys_need_a_dict_of_plain_values(airflow, outputs, task_id, said):
    result = airflow.run(outputs.get_task(task_id))

    assert result.state == "failed"
    assert isinstance(result.error, ResultError)
    assert "`multiple_outputs`" in result.error.summary
    assert said in result.error.summary
    assert "return_value" not in result.xcoms


@pytest.mark.parametrize("task_id", ["silent", "nothing"])
def test_a_task_that_says_nothing_has_its_job_and_no_value(airflow, outputs, task_id):
    result = airflow.run(outputs.get_task(task_id))

    assert (result.state, result.value) == ("success", None)
    assert {"kinetic_job", "job_id", "result_uri", "output_dir"} <= set(result.xcoms)


def test_the_result_of_the_run(outputs):
    marked = [task.task_id for task in outputs.tasks if getattr(task, "returns_dag_result", False)]
    assert marked == ["final"]


@pytest.mark.parametrize("name", ["shapes", "outputs"])
def test_a_dag_is_copied_and_serialized(project, name):
    dag = project.dag("shapes", name)

    copied = copy.deepcopy(dag)
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)
    back = DagSerialization.from_dict(data)

    assert set(copied.task_ids) == set(back.task_ids) == set(dag.task_ids)
    assert DagSerialization.to_dict(copied) == data
    for task in back.tasks:
        if "kinetic" in task.operator_name:
            assert set(task.operator_extra_link_dict) == {link.name for link in (*LINKS, BUILD_LINK)}
    for task_id in {"overridden", "final"} & set(dag.task_ids):
        before, after = dag.get_task(task_id), copied.get_task(task_id)
        assert after.python_callable is before.python_callable, "functions are shared, whatever they hold"
