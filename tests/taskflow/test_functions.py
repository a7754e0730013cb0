"""A function runs as it was written, whatever kind of function it is."""

from __future__ import annotations

import pytest

VALUES = {
    "bare": 42,
    "renamed": [1, (2, 3), "n", {"extra": [4]}],
    "defaults": [1, 3, ("x", "y"), {"k": None}],
    "helpers_of_the_file": [6, 120, False, {"x": 3, "y": 4, "tags": ["new", "moved"]}, 30],
    "helper_modules": [3.0, 22.0, 4],
    "decorated": ["logged", "x"],
    "awaited": 12,
    "closure": 12,
    "lambda": 6,
    "method": 30,
    "class_method": "Model!",
    "static_method": 2.5,
    "callable_object": 31,
    "class": {"a": 1},
    "builtin": 6,
    "partial": 109,
}


@pytest.mark.parametrize("task_id", VALUES)
def test_a_function_runs_as_it_was_written(project, airflow, task_id):
    assert airflow.value(project.dag("functions").get_task(task_id)) == VALUES[task_id]


def test_every_task_of_the_file_was_tried(project):
    assert set(project.dag("functions").task_ids) == set(VALUES)
