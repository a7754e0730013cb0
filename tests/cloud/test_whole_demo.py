"""The demo's DAG as it is, in a real Airflow, on a cluster: real training, real checkpoints in the bucket."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from cloud import EMULATOR, Cloud
from environment_images import EnvironmentImages

from demo.api import FINISHED, Api
from demo.standalone import Standalone

PROJECT = Path(__file__).parents[2]
DAG = "kinetic_retrain"
STEPS, SAVE_EVERY = 3_000, 250
PATIENCE = 600.0
PLUGIN = """
from pathlib import Path
from environment_images import build_for_kubernetes
build_for_kubernetes(Path({root!r}))
"""
"""Every process of a task imports the plugins before it executes."""


def airflow_on(cloud: Cloud, folder: Path, environments: Path) -> Standalone:
    home = folder / "airflow"
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "environments.py").write_text(PLUGIN.format(root=str(environments)))
    dags = folder / "dags"
    dags.mkdir()
    (dags / f"{DAG}.py").write_text((PROJECT / "dags" / f"{DAG}.py").read_text())
    connections = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps({**each, "extra": json.loads(each["extra"])})
        for name, each in cloud.connections().items()
    }
    env = {
        **connections,
        EMULATOR: cloud.gcs.url,
        "PYTHONPATH": str(PROJECT / "tests" / "support"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__KINETIC__POLL_INTERVAL": "1",
    }
    return Standalone(home, dags, env=env, say=print)


def take_the_machine_away(cloud: Cloud, after: int) -> bool:
    """Once a checkpoint of step ``after`` or later is committed."""
    steps = {name.split("/checkpoints/")[1].partition("/")[0] for name in cloud.objects() if "/checkpoints/" in name}
    if not any(step.isdecimal() and int(step) > after for step in steps):
        return False
    running = [pod for pod in cloud.kube.pods() if pod["status"]["phase"] == "Running"]
    if not running:
        return False
    cloud.kube.preempt(running[0])
    return True


def follow(api: Api, run_id: str, cloud: Cloud) -> bool:
    """Until the run ends; whether the machine was taken away."""
    preempted, end = False, time.monotonic() + PATIENCE
    while api.run_state(DAG, run_id) not in FINISHED:
        preempted = preempted or take_the_machine_away(cloud, SAVE_EVERY)
        assert time.monotonic() < end, [(task["task_id"], task["state"]) for task in api.tasks(DAG, run_id)]
        time.sleep(0.5)
    return preempted


@pytest.mark.live
@pytest.mark.timeout(1200)
def test_the_demo_on_a_cluster_keeps_its_promises(tmp_path: Path) -> None:
    environments = tmp_path / "environments"
    with Cloud.opened(tmp_path, images=EnvironmentImages(environments)) as cloud:
        cloud.add_machine("tpu-v5litepod-4", spot=True)
        with airflow_on(cloud, tmp_path, environments) as airflow:
            api = airflow.client
            while not api.has_dag(DAG):
                time.sleep(0.5)
            run_id = api.trigger(DAG, {"steps": STEPS, "save_every": SAVE_EVERY, "least_accuracy": 0.8})
            preempted = follow(api, run_id, cloud)
            tasks = {task["task_id"]: task for task in api.tasks(DAG, run_id)}
            for task_id, task in tasks.items():
                if task["state"] != "success":
                    sys.stdout.write("\n".join([f"--- {task_id} ---", *api.log(DAG, run_id, task_id, 1, -1)[-60:]]))
            assert {task["state"] for task in tasks.values()} == {"success"}
            assert preempted
            assert tasks["train"]["try_number"] == 1
            assert api.xcom(DAG, run_id, "evaluate")["accuracy"] > 0.8
            output_dir = api.xcom(DAG, run_id, "train", "output_dir")
        attempts = [name for name in cloud.objects() if name.endswith(("attempts/0001.json", "attempts/0002.json"))]
        mine = [name for name in attempts if output_dir.endswith(name.partition("/.kinetic/")[0])]
        assert len(mine) == 2
        second = json.loads(_read(cloud, mine[1]))
        assert int(second["parent"]["checkpoint"]["step"]) >= SAVE_EVERY
        assert cloud.jobs() == []
        assert cloud.gcs.unknown == []


def _read(cloud: Cloud, name: str) -> bytes:
    content = cloud.gcs.buckets["kinetic-tests"].get(name, {}).content
    return b"".join(content.pieces(0, content.size))
