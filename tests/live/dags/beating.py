"""Jobs that show that they live, one DAG for each way to wait for them.

A job beats twice a second: a line in a file, which says whether it still runs and who runs it, and the same line in its
own output. It ends when somebody puts a file there, so nothing depends on how fast the machine is.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_kinetic.operators.submit import KineticSubmitOperator
from airflow_provider_kinetic.sensors.job import KineticJobSensor

FOLDER = "{{ dag_run.conf['folder'] }}"
JOB = {"accelerator": "cpu", "container_image": sys.executable, "stop_grace": 2}


def beat(folder: str, name: str = "beat") -> str:
    """Beat until ``{folder}/{name}.end`` exists; the value is the id of the job."""
    import os
    import time
    from pathlib import Path

    job_id, end = os.environ["JOB_ID"], Path(folder, f"{name}.end")
    for count in range(600):
        with Path(folder, f"{name}.beats").open("a") as beats:
            beats.write(f"{job_id} {os.getpid()}\n")
        print(f"{name} {count} of {job_id}", flush=True)
        if end.exists():
            return job_id
        time.sleep(0.5)
    raise TimeoutError(f"nobody made {end}")


@dag(schedule=None)
def deferred() -> None:
    task.kinetic(deferrable=True, **JOB)(beat)(FOLDER)


@dag(schedule=None)
def waiting() -> None:
    task.kinetic(deferrable=False, retries=1, retry_delay=timedelta(seconds=1), **JOB)(beat)(FOLDER)


@dag(schedule=None)
def mapped() -> None:
    task.kinetic(deferrable=True, **JOB)(beat).partial(folder=FOLDER).expand(name=["a", "b", "c"])


@dag(schedule=None)
def limited() -> None:
    task.kinetic(deferrable=True, execution_timeout=timedelta(seconds=30), **JOB)(beat)(FOLDER)


@dag(schedule=None)
def sensed() -> None:
    submit = KineticSubmitOperator(task_id="submit", python_callable=beat, op_args=[FOLDER], **JOB)
    KineticJobSensor(task_id="sensor", job=submit.output["kinetic_job"], deferrable=True)


deferred()
waiting()
mapped()
limited()
sensed()
