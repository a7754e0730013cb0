"""A small training whose log, XComs and outputs look like those of a real one."""

from __future__ import annotations

import sys
from typing import Any

from airflow.sdk import dag, task


@task.kinetic(accelerator="tpu-v5litepod-4", container_image=sys.executable, deferrable=True)
def train(steps: int) -> dict[str, Any]:
    """Halve a loss and keep a checkpoint at every step."""
    import json
    import os
    import time
    from pathlib import Path

    output, loss = Path(os.environ["KINETIC_OUTPUT_DIR"]), 2.3
    for step in range(1, steps + 1):
        time.sleep(0.8)
        loss = round(loss * 0.7, 4)
        checkpoint = output / "checkpoints" / f"{step:03}" / "weights.json"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text(json.dumps([loss] * 1000))
        print(f"step {step} of {steps}: loss {loss}, checkpoint saved")
    return {"loss": loss, "step": steps}


@task
def register(model: dict[str, Any]) -> None:
    print(f"registered {model}")


@dag(schedule=None)
def retrain() -> None:
    register(train(12))


retrain()
