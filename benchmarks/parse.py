"""What a DAG file pays for naming a task of ours: CPU seconds, memory and modules on top of a plain DAG file.

Every figure is of a fresh interpreter that runs one file, then the other. What the second one adds counts, so that
Airflow itself, seconds and their noise, stays out. The kinds take turns, the median counts. Shown apart is what
Airflow does for the first `@task` of any process (finding the decorators of all providers). Peers in the same run:
`GKEStartJobOperator` of the google provider and `@task.kubernetes` of the cncf-kubernetes provider.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RUNS = 5
LIMIT_SECONDS = 0.03
LIMIT_MEBIBYTES = 5.0
FORBIDDEN = ("kubernetes", "kubernetes_asyncio", "google", "grpc", "jax", "cloudpickle")

NOTHING = ""

UNDECORATED = """
from airflow.sdk import DAG, BaseOperator

with DAG("example", schedule=None):
    BaseOperator(task_id="work")
"""

IMPORT = """
from airflow_provider_kinetic.decorators.kinetic import kinetic_task
"""

PLAIN = """
from airflow.sdk import dag, task

@dag(schedule=None)
def example():
    @task
    def work(): ...
    work()

example()
"""

KINETIC = """
from airflow.sdk import dag, task

@dag(schedule=None)
def example():
    @task.kinetic(accelerator="tpu-v5litepod-4", requirements=["jax"], deferrable=True)
    def work(): ...
    work()

example()
"""

GKE = """
from airflow.providers.google.cloud.operators.kubernetes_engine import GKEStartJobOperator
from airflow.sdk import DAG

with DAG("example", schedule=None):
    GKEStartJobOperator(task_id="w", project_id="p", location="l", cluster_name="c", name="n", image="i", namespace="d")
"""

KUBERNETES = """
from airflow.sdk import dag, task

@dag(schedule=None)
def example():
    @task.kubernetes(image="python:3.11-slim", namespace="default")
    def work(): ...
    work()

example()
"""

PROBE = """
import runpy, sys, time
import psutil
def now():
    return time.process_time(), psutil.Process().memory_info().rss / 2**20, set(sys.modules)
runpy.run_path(sys.argv[1])
seconds, mebibytes, modules = now()
runpy.run_path(sys.argv[2])
after = now()
new = after[2] - modules
heavy = sorted({name.partition(".")[0] for name in new} & set(sys.argv[3].split(",")))
print(after[0] - seconds, after[1] - mebibytes, len(new), ",".join(heavy) or "-")
"""


@dataclass(frozen=True)
class Cost:
    """What a file adds: CPU seconds, MiB of resident memory, modules, and the heavy packages among them."""

    seconds: float
    mebibytes: float
    modules: float
    heavy: str

    @classmethod
    def measure(cls, before: Path, file: Path, environ: dict[str, str]) -> Cost:
        command = [sys.executable, "-c", PROBE, str(before), str(file), ",".join(FORBIDDEN)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        seconds, mebibytes, modules, heavy = done.stdout.split()[-4:]
        return cls(float(seconds), float(mebibytes), int(modules), heavy)

    @classmethod
    def median(cls, costs: list[Cost]) -> Cost:
        figures = ("seconds", "mebibytes", "modules")
        return cls(*(statistics.median(getattr(cost, name) for cost in costs) for name in figures), costs[0].heavy)


KINDS = {
    "plain DAG file, @task": (NOTHING, PLAIN),
    "  of it: the first @task": (UNDECORATED, PLAIN),
    "+ import kinetic_task": (PLAIN, IMPORT),
    "+ @task.kinetic": (PLAIN, KINETIC),
    "+ GKEStartJobOperator": (PLAIN, GKE),
    "+ @task.kubernetes": (PLAIN, KUBERNETES),
}
OURS = "+ @task.kinetic"


def measure() -> dict[str, Cost]:
    costs: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "AIRFLOW_HOME": folder, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        files = {text: Path(folder) / f"file_{index}.py" for index, text in enumerate(sum(KINDS.values(), ()))}
        for text, file in files.items():
            file.write_text(text)
        for before, after in KINDS.values():
            Cost.measure(files[before], files[after], environ)  # writes the configuration and the byte code
        for _ in range(RUNS):
            for kind, (before, after) in KINDS.items():
                costs[kind].append(Cost.measure(files[before], files[after], environ))
    return {kind: Cost.median(measured) for kind, measured in costs.items()}


def main() -> int:
    costs = measure()
    print(f"{'':26} {'CPU s':>7} {'MiB':>7} {'modules':>8}  heavy packages")
    for kind, cost in costs.items():
        print(f"{kind:26} {cost.seconds:7.3f} {cost.mebibytes:7.1f} {cost.modules:8.0f}  {cost.heavy}")
    ours = costs[OURS]
    good = ours.seconds <= LIMIT_SECONDS and ours.mebibytes <= LIMIT_MEBIBYTES and ours.heavy == "-"
    print(f"limits of {OURS[2:]}: {LIMIT_SECONDS} s, {LIMIT_MEBIBYTES} MiB: {'met' if good else 'NOT met'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
