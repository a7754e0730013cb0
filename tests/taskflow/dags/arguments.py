"""Arguments of every kind. What each task returns stands in test_arguments.py."""

from __future__ import annotations

import os
import sys

from airflow.sdk import DAG, literal, task

MEGABYTE = 1024 * 1024
LARGE = bytes(range(256)) * (50 * MEGABYTE // 256)

with DAG(
    "arguments",
    schedule=None,
    params={"machine": "cpu", "stage": "blue", "rate": 0.25},
    default_args={"accelerator": "{{ params.machine }}", "container_image": sys.executable},
):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def squared(x):
        return x * x

    @task
    def interpreter():
        return sys.executable

    @task.kinetic
    def describe(value):
        return [type(value).__name__, value]

    @task.kinetic
    def measured(blob):
        return [len(blob), blob[-1]]

    @task.kinetic
    def rendered(text, items, file, raw):
        return [text, items, file, raw]

    @task.kinetic(
        container_image=interpreter(),
        output_dir="{{ var.value.place }}/{{ dag.dag_id }}",
        env_vars={"STAGE": "{{ params.stage }}"},
    )
    def environment():
        return {name: os.environ.get(name) for name in ("STAGE", "KINETIC_OUTPUT_DIR")}

    @task.kinetic
    def context(ds, params, run_id=None, logical_date=None, *, text="ds"):
        return [ds, params, run_id, str(logical_date), type(logical_date).__module__, text]

    @task.kinetic
    def own_context(ds=None, run_id=None):
        return [ds, run_id]

    @task.kinetic
    def worker_only(ti=None):
        return ti.try_number

    many = numbers()
    describe.override(task_id="of_plain")(many)
    describe.override(task_id="of_item")({"deep": [squared.override(task_id="square_of")(7)]})
    describe.override(task_id="of_mapped")(squared.expand(x=many))
    measured(LARGE)
    rendered(
        "{{ run_id }} at {{ params.rate }}",
        {"nested": ["{{ task.task_id }}"]},
        file="config.yaml",
        raw=literal("{{ kept }}"),
    )
    environment()
    context()
    own_context(ds="given", run_id="{{ run_id }}!")
    worker_only()

with DAG("native", schedule=None, params={"rate": 0.25, "n": 3}, render_template_as_native_obj=True):

    @task.kinetic(
        accelerator="cpu", container_image=sys.executable, env_vars={"N": "{{ params.n }}", "RATE": "{{ params.rate }}"}
    )
    def typed(rate, options):
        return [rate, options, os.environ["N"], os.environ["RATE"]]

    typed("{{ params.rate }}", {"n": "{{ params.n }}"})
