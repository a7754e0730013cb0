"""A script for Determined's detached mode, moved here: its import line is all that has changed.

It makes the calls of the example that Determined publishes as "save and load state using checkpoints", and asks whether
it must stop. Every start trains a hundred steps more, from where the one before was saved. In Airflow: put this file
into the folder of the DAGs. On any machine: ``python determined_port.py [steps [seconds for each]]``.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any

# from determined.experimental import core_v2
from airflow_provider_kinetic.job.compat import core_v2

EXPERIMENT, TRIAL = "determined-port", "determined-port-1"


def load() -> int:
    """The step that was saved last."""
    if core_v2.info.latest_checkpoint is None:
        return 0
    with core_v2.checkpoint.restore_path(core_v2.info.latest_checkpoint) as path:
        step, _ = (path / "state").read_text().split(",")
    return int(step)


def train(steps: int = 100, pause: float = 0.0) -> dict[str, Any]:
    """Report a loss for each of so many steps, and save each tenth one."""
    core_v2.init(
        config=core_v2.Config(
            name="port",
            external_experiment_id=EXPERIMENT,
            external_trial_id=TRIAL,
        ),
    )
    first = load()
    print(f"{core_v2.info.trial.experiment_id} goes on at step {first}", flush=True)
    for step in range(first, first + steps):
        time.sleep(pause)
        core_v2.train.report_training_metrics(steps_completed=step, metrics={"loss": random.random()})
        stop = core_v2.preempt.should_preempt()  # there always False in detached mode; here the machine's notice
        if stop or (step + 1) % 10 == 0:
            loss = random.random()
            core_v2.train.report_validation_metrics(steps_completed=step, metrics={"loss": loss})
            with core_v2.checkpoint.store_path({"steps_completed": step}) as (path, uuid):
                (path / "state").write_text(f"{step},{loss}")
            print(f"saved {step} as {uuid}", flush=True)
        if stop:
            break
    core_v2.close()  # ends the process with 143 when it was to stop
    return {"first": first, "last": first + steps - 1}


if __name__ == "__main__":
    print(train(*[number(text) for number, text in zip((int, float), sys.argv[1:])]))  # noqa: B905
else:
    from airflow.sdk import dag, task

    @dag(schedule=None, tags=["kinetic"])
    def determined_port() -> None:
        ids = {"experiment": EXPERIMENT, "trial": TRIAL}  # every run goes on, as it does outside of Airflow
        task.kinetic(accelerator="cpu", **ids, retries=2, deferrable=True)(train)()

    determined_port()
