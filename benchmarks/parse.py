"""What a DAG file pays for importing an operator: CPU seconds, memory and modules beside a plain DAG file.

Every figure is of a fresh interpreter; the kinds take turns, the median counts. Peers in the same run:
`GKEStartJobOperator` of the google provider and `@task.kubernetes` of the cncf-kubernetes provider.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 7
LIMIT_SECONDS = 0.03
LIMIT_MEBIBYTES = 5.0
FORBIDDEN = ("kubernetes", "kubernetes_asyncio", "google", "grpc", "jax", "cloudpickle")

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
import json, resource, runpy, sys
runpy.run_path(sys.argv[1])
usage = resource.getrusage(resource.RUSAGE_SELF)
heavy = sorted(set(sys.argv[2].split(",")) & set(sys.modules))
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, len(sys.modules), ",".join(heavy) or "-")
"""


def measure(file: Path, environ: dict[str, str]) -> tuple[float, float, int, str]:
    """CPU seconds, MiB, modules, and which of the heavy packages were imported."""
    command = [sys.executable, "-c", PROBE, str(file), ",".join(FORBIDDEN)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    seconds, mebibytes, modules, heavy = done.stdout.split()[-4:]
    return float(seconds), float(mebibytes), int(modules), heavy


def main() -> int:
    kinds = {"plain": PLAIN, "@task.kinetic": KINETIC, "GKEStartJobOperator": GKE, "@task.kubernetes": KUBERNETES}
    rows: dict[str, list[tuple[float, float, int, str]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "AIRFLOW_HOME": folder, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        files = {kind: Path(folder) / f"dag_{index}.py" for index, kind in enumerate(kinds)}
        for kind, text in kinds.items():
            files[kind].write_text(text)
            measure(files[kind], environ)  # writes the configuration and the byte code
        for _ in range(RUNS):
            for kind in kinds:
                rows[kind].append(measure(files[kind], environ))
    median = {kind: [statistics.median(row[i] for row in rows[kind]) for i in range(3)] for kind in kinds}
    plain = median["plain"]
    print(f"{'DAG file':22} {'CPU s':>7} {'MiB':>7} {'modules':>8} {'+ CPU s':>8} {'+ MiB':>7}  heavy packages")
    for kind, (seconds, mebibytes, modules) in median.items():
        more = f"{seconds - plain[0]:8.3f} {mebibytes - plain[1]:7.1f}"
        print(f"{kind:22} {seconds:7.3f} {mebibytes:7.1f} {modules:8.0f} {more}  {rows[kind][0][3]}")
    ours = median["@task.kinetic"]
    seconds, mebibytes = ours[0] - plain[0], ours[1] - plain[1]
    good = (
        seconds <= LIMIT_SECONDS and mebibytes <= LIMIT_MEBIBYTES and rows["@task.kinetic"][0][3] == rows["plain"][0][3]
    )
    print(f"limits: {LIMIT_SECONDS} s, {LIMIT_MEBIBYTES} MiB: {'met' if good else 'NOT met'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
