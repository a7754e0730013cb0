"""What a task hands to its function, the function gets."""

from __future__ import annotations

import sys

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError


@pytest.fixture
def dag(project):
    return project.dag("arguments")


def test_the_xcom_of_a_plain_task(airflow, dag):
    airflow.value(dag.get_task("numbers"))
    assert airflow.value(dag.get_task("of_plain")) == ["list", [1, 2, 3]]


def test_an_xcom_deep_inside_of_an_argument(airflow, dag):
    airflow.value(dag.get_task("square_of"))
    assert airflow.value(dag.get_task("of_item")) == ["dict", {"deep": [49]}]


def test_the_values_of_a_mapped_task_arrive_as_a_list(airflow, dag):
    airflow.value(dag.get_task("numbers"))
    for index in (2, 0, 1):
        airflow.value(dag.get_task("squared"), map_index=index)
    assert airflow.value(dag.get_task("of_mapped")) == ["list", [1, 4, 9]]


@pytest.mark.faults
def test_arguments_of_50_megabytes(airflow, dag):
    result = airflow.run(dag.get_task("measured"))
    assert result.value == [50 * 1024 * 1024, 255]
    assert any("KINETIC_PAYLOAD_SIZE_WARN_MB" in line for line in result.log)


def test_templates_are_rendered_and_files_are_not_read(airflow, dag):
    assert airflow.value(dag.get_task("rendered")) == [
        "run_1 at 0.25",
        {"nested": ["rendered"]},
        "config.yaml",
        "{{ kept }}",
    ]


def test_native_objects_arrive_as_such_and_variables_as_text(airflow, project):
    assert airflow.value(project.dag("arguments", "native").get_task("typed")) == [0.25, {"n": 3}, "3", "0.25"]


def test_fields_of_the_operator_are_templates_too(airflow, dag, tmp_path):
    airflow.db.variables["place"] = str(tmp_path / "mine")
    airflow.value(dag.get_task("interpreter"))

    result = airflow.run(dag.get_task("environment"))

    assert result.value == {"STAGE": "blue", "KINETIC_OUTPUT_DIR": f"{tmp_path}/mine/arguments"}
    assert result.xcoms["output_dir"] == f"file://{tmp_path}/mine/arguments"
    handle = result.xcoms["kinetic_job"]
    assert (handle["accelerator"], handle["image_uri"]) == ("cpu", f"file://{sys.executable}")


def test_values_of_the_context_arrive_as_plain_data(airflow, dag):
    assert airflow.value(dag.get_task("context")) == [
        "2026-01-01",
        {"machine": "cpu", "stage": "blue", "rate": 0.25},
        "run_1",
        "2026-01-01 00:00:00+00:00",
        "datetime",
        "ds",
    ]


def test_an_argument_wins_over_the_context(airflow, dag):
    assert airflow.value(dag.get_task("own_context")) == ["given", "run_1!"]


def test_what_lives_on_the_worker_only_is_refused_before_anything_is_stored(airflow, dag):
    result = airflow.run(dag.get_task("worker_only"))

    assert result.state == "failed"
    assert isinstance(result.error, ConfigurationError)
    assert "`ti` of worker_only()" in result.error.summary
    assert "as an argument" in result.error.advice
    assert airflow.stored == []
