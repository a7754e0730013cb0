"""Data on its way to functions. What each task returns stands in test_data.py; workers stand where `digits` lies."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from airflow.sdk import DAG, Variable, task

from airflow_provider_kinetic import Data

DIGITS = "{{ var.value.place }}/digits"


@dataclasses.dataclass
class Split:
    train: list


with DAG("data", schedule=None, default_args={"accelerator": "cpu", "container_image": sys.executable}):

    @task
    def place(name):
        return Data(f"{Variable.get('place')}/digits/{name}")

    @task
    def names():
        return [{"path": Data(f"{Variable.get('place')}/digits/{name}")} for name in ("a/1", "b/2")]

    @task
    def seen(data):
        return [type(data).__name__, data.path]

    @task.kinetic
    def listing(path):
        return sorted(str(file.relative_to(path)) for file in Path(path).rglob("*") if file.is_file())

    @task.kinetic
    def content(path):
        return Path(path).read_text()

    @task.kinetic
    def contents(paths, more=()):
        return [Path(path).read_text() for path in [*paths, *more]]

    @task.kinetic
    def of_dataclass(split, both):
        (path,) = split.train
        return [
            type(split).__name__,
            Path(path).read_text(),
            both["x"] == both["y"][0],
            Path(both["x"], "1").read_text(),
        ]

    HELD = Data("/held")

    @task.kinetic
    def held():
        return HELD.path

    listing(Data(DIGITS))
    content.override(task_id="of_file")(Data(DIGITS + "/a/1"))
    content.override(task_id="of_literals").expand(path=[Data(DIGITS + "/a/1"), Data("digits/b/2")])
    content.override(task_id="of_mapped").expand(path=place.override(task_id="each").expand(name=["a/1", "b/2"]))
    content.override(task_id="of_kwargs").expand_kwargs(names())
    contents(place.override(task_id="files").expand(name=["a/1", "b/2"]), more=(Data("digits/a/1"),))
    folder = place("a")
    seen(folder)
    of_dataclass(Split([Data("digits/a/1")]), {"x": folder, "y": [folder]})
    content.override(task_id="absent")(Data(DIGITS + "/absent"))
    content.override(task_id="in_a_set")({Data(DIGITS)})
    content.override(task_id="unrendered")(Split([Data(DIGITS)]))
    held()
