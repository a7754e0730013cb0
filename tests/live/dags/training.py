"""A training that loses its machine and fails once, and one in another DAG that begins with what became of it.

Which step does what is fixed, so nothing depends on how fast the machine is.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow.sdk import Asset, dag, task

JOB: dict[str, Any] = {"accelerator": "cpu", "container_image": sys.executable, "stop_grace": 10, "deferrable": True}
MODEL = Asset("model_of_the_live_tests")


def train() -> list[int]:
    """Each attempt goes one step: the first until it is told to stop, the second fails, the third ends well."""
    import time

    from airflow_provider_kinetic import job

    trial, before = job.trial(), list[int]()
    with trial.restore() as found:
        if found:
            before = [int(word) for word in (found.path / "steps").read_text().split()]
    step = trial.attempt
    trial.log({"loss": 1 / step}, step=step)
    with trial.save(step, loss=1 / step) as path:
        (path / "steps").write_text(" ".join(map(str, [*before, step])))
    if step == 1:
        give_up = time.monotonic() + 120
        while not trial.stopping(step) and time.monotonic() < give_up:
            time.sleep(0.1)
    trial.exit_if_stopping()
    if step == 2:
        raise RuntimeError("the second attempt fails")
    return [*before, step]


def tune() -> dict[str, Any]:
    from airflow_provider_kinetic import job

    trial = job.trial()
    with trial.restore() as found:
        assert found is not None
        return {"steps": (found.path / "steps").read_text(), "source": trial.source}


@dag(schedule=None)
def trained() -> None:
    task.kinetic(outlets=[MODEL], **JOB)(train)()


@dag(schedule=MODEL)
def tuned() -> None:
    event = "(triggering_asset_events.values() | first | last)"
    task.kinetic(restore_from="{{ " + event + ".extra['kinetic_checkpoint']['uri'] }}", **JOB)(tune)()


trained()
tuned()
