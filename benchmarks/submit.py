"""From the start of the submit step to the job's process, on this machine.

A small function of a project of 200 files, submitted again and again by one warm process to a warm environment; first
imports and Airflow's own calls (its task state store, XComs) do not belong to the step and are shown apart.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUNS = 15
FILES = 200
LIMIT_MILLISECONDS = 150.0

FUNCTION = """
from helpers.part_000 import value

def work(x):
    return x + value
"""


def project(folder: Path) -> Any:
    """A project of 200 files around one function; returns the function."""
    (folder / "helpers").mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'example'\ndependencies = []\n")
    for index in range(FILES - 2):
        text = f'"""Part {index}."""\n\nvalue = {index}\n' + f"# {'x' * 60}\n" * 40
        (folder / "helpers" / f"part_{index:03}.py").write_text(text)
    (folder / "dag_file.py").write_text(FUNCTION)
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("unusual_prefix_dag_file", folder / "dag_file.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.work


class Memory:
    """A journal without Airflow."""

    def __init__(self) -> None:
        self.record: Any = None

    def load(self) -> Any:
        return self.record

    def save(self, record: Any) -> None:
        self.record = record


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    into.append((time.perf_counter() - start) * 1000)


def main() -> int:
    imports: list[float] = []
    with timed(imports):
        from airflow_provider_kinetic.builders.local import LocalBuilder
        from airflow_provider_kinetic.clusters.local import LocalCluster
        from airflow_provider_kinetic.lifecycle.ports import Ports
        from airflow_provider_kinetic.lifecycle.submit import ensure
        from airflow_provider_kinetic.lifecycle.work import Work
        from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
        from airflow_provider_kinetic.model.target import Target
        from airflow_provider_kinetic.stores.local import LocalStore

    started, returned = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "project").mkdir()
        function = project(folder / "project")
        root = folder / "kinetic"
        target = Target(
            platform="local",
            kinetic_conn_id="kinetic_default",
            store_root=f"file://{root}/jobs",
            output_root=f"file://{root}/outputs",
            cluster_uri=f"file://{root}/cluster",
        )
        ports = Ports(LocalCluster(root / "cluster"), LocalStore(), LocalBuilder(root / "environments"))
        for run in range(RUNS + 2):
            work = Work(
                function=function,
                args=(run,),
                kwargs={},
                spec=JobSpec(func_name="work", accelerator="cpu", container_image=sys.executable),
                identity=TaskIdentity("dag", "task", f"run_{run}"),
                max_tries=0,
                secrets={},
            )
            began = time.time()
            handle = ensure(ports, target, work, Memory(), say=lambda _: None).handle
            returned.append((time.time() - began) * 1000)
            while not (status := ports.cluster.status(handle)).state.terminal:
                time.sleep(0.01)
            assert status.state.value == "SUCCEEDED", status
            assert status.started_at is not None
            started.append((status.started_at - began) * 1000)
    print(f"first imports of the step     {imports[0]:7.1f} ms (once a process)")
    print(f"first submit of a process     {started[0]:7.1f} ms (loads cloudpickle, makes the runner's bundle)")
    print(f"submit call, median           {statistics.median(returned[2:]):7.1f} ms")
    median, worst = statistics.median(started[2:]), max(started[2:])
    print(f"to process started, median    {median:7.1f} ms, worst {worst:.1f} ms of {RUNS}")
    good = median <= LIMIT_MILLISECONDS
    print(f"limit: {LIMIT_MILLISECONDS:.0f} ms: {'met' if good else 'NOT met'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
