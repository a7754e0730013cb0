"""The demo's DAG on a cluster, task by task. The training is a light one here; group `live` runs the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tasks
from airflow.dag_processing.dagbag import DagBag
from cloud import IMAGE
from cloud_shop import CloudShop
from project import until

from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.images import Image, ImageRequest

DAG_FILE = Path(__file__).parents[2] / "dags" / "kinetic_retrain.py"
STEPS = 20


class Shelf:
    """An image builder that has what is asked for."""

    def request_for(self, category: str, requirements: str) -> ImageRequest:
        assert "orbax-checkpoint" in requirements
        return ImageRequest(category, "3.11", "python:3.11-slim", requirements)

    def find(self, request: ImageRequest) -> Image:  # noqa: ARG002
        return Image(IMAGE, cached=True)

    def ensure(self, request: ImageRequest, *, log: Callable[[str], None]) -> Image:  # noqa: ARG002
        return Image(IMAGE, cached=True)

    def named(self, container_image: str) -> Image:
        return Image(container_image, cached=True)


def light_train(images: list[list[int]], labels: list[int], steps: int, save_every: int) -> dict[str, Any]:
    """Goes on from the newest checkpoint; its first life waits for the machine to be taken away."""
    import json
    import os
    import time

    from airflow_provider_kinetic.job.storage import open_storage

    output = os.environ["KINETIC_OUTPUT_DIR"]
    storage = open_storage(output)
    saved = [int(uri.split("/")[-2]) for uri in storage.list(f"{output}/checkpoints/") if uri.endswith("/done")]
    first = max(saved, default=0)
    for step in range(first + 1, steps + 1):
        if step % save_every == 0:
            storage.write(f"{output}/checkpoints/{step}/done", json.dumps({"step": step}).encode())
        while not first and step == steps // 2:
            time.sleep(0.1)
    assert len(images) == len(labels)
    return {"checkpoints": f"{output}/checkpoints", "step": steps, "first": first}


def light_evaluate(model: dict[str, Any], images: list[list[int]], labels: list[int]) -> dict[str, Any]:
    from airflow_provider_kinetic.job.storage import open_storage

    place = f"{model['checkpoints']}/{model['step']}/done"
    assert open_storage(place).read(place)
    assert len(images) == len(labels)
    return {**model, "accuracy": 0.97}


@pytest.mark.faults
@pytest.mark.parametrize("deferrable", [True])
def test_the_demo_on_a_cluster_loses_its_machine_and_finishes(shop: CloudShop, deferrable: bool) -> None:
    pytest.importorskip("sklearn")
    dag = DagBag(str(DAG_FILE), safe_mode=False, load_op_links=False).dags["kinetic_retrain"]
    dag.get_task("train").python_callable = light_train
    dag.get_task("evaluate").python_callable = light_evaluate
    shop.db.confs["run_1"] = {"steps": STEPS, "save_every": 5}
    shelf: Any = Shelf()

    def with_images(ports: Ports) -> Ports:
        return replace(ports, builder=shelf)

    shop.refit(with_images)
    shop.cloud.add_machine("tpu-v5litepod-4", spot=True)

    def run(task_id: str) -> tasks.TaskResult:
        result = tasks.run(dag.get_task(task_id), shop.db)
        assert result.state == "success", "\n".join(result.log)
        assert bool(result.deferrals) == (deferrable and task_id in ("train", "evaluate"))
        return result

    def preempt() -> None:
        until(lambda: any(f"/checkpoints/{STEPS // 2}/" in name for name in shop.cloud.objects()), 60)
        shop.cloud.kube.preempt(shop.pods[0])

    run("prepare")
    assert run("build").value == IMAGE
    with shop.meanwhile(preempt):
        trained = run("train")
    assert trained.value == {
        "checkpoints": f"{trained.xcoms['output_dir']}/checkpoints",
        "step": STEPS,
        "first": STEPS // 2,
    }
    attempts = trial.attempts(shop.ports.store, trained.xcoms["output_dir"])
    assert [attempt.job_id for attempt in attempts] == [trained.xcoms["job_id"]] * 2
    assert attempts[1].record["parent"]["attempt"] == 1
    assert run("evaluate").value["accuracy"] == 0.97
    run("register")
    assert len(shop.jobs) == 1, "the evaluation cleaned up, the training leaves it to its own task"
    run("clean_up")
    until(lambda: not shop.jobs)
    assert shop.artifacts == []
