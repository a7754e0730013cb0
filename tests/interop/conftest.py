"""One cluster, one object store and upstream's client beside it, for all tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud import Cloud
from cloud_shop import PATIENCE, CloudShop
from command_line import CommandLine, command_line
from identity_server import IdentityServer
from installation import Installation
from kube import Image, conditions
from kube.errors import Object
from kube.resources import JOBS
from leader_worker_sets import LeaderWorkerSets
from project import until
from upstream import BUCKET, CLUSTER, IMAGE, PROJECT, RUNNER, ZONE, Upstream
from workers import NO_WAITING

from airflow_provider_kinetic.packaging import runner_bundle

FUNCTIONS = """
import sys
import time
from pathlib import Path


def add(a, b):
    print("adding", a, "and", b)
    print("done", file=sys.stderr)
    return {"sum": a + b, "pair": (a, b)}


def count(gate="/"):
    print("counting")
    while not Path(gate).exists():
        time.sleep(0.02)
    return {"sum": 3, "of": [1, 2]}


def fail(text):
    print("about to fail")
    raise ValueError(text)


def odd():
    return sys._getframe()


def leave(code):
    sys.exit(code)


def wait(gate):
    for number in range(8):
        print("line", number, flush=True)
    while not Path(gate).exists():
        time.sleep(0.02)
    print("went on", flush=True)
    return "through the gate"


def contents(given, *more):
    if isinstance(given, dict):
        return contents(*given["inside"])
    path = Path(given)
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    found = {str(file.relative_to(path) if path.is_dir() else file.name): file.read_text() for file in files}
    return [found, *(contents(each)[0] for each in more)]
"""
"""What users run, the same for both clients."""

STUCK = "registry.example/missing:1"

TWO_HOSTS = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
    "cloud.google.com/gke-tpu-topology": "2x2x2",
}
"""Labels of the nodes of a ``v5p-8``."""


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with (
        Cloud.opened(tmp_path_factory.mktemp("cloud"), service_accounts=["kinetic"]) as cloud,
        LeaderWorkerSets(cloud.kube),
    ):
        for number in range(2):
            cloud.kube.add_node(f"tpu-{number}", labels=TWO_HOSTS, allocatable={"google.com/tpu": "4"})
        yield cloud


@pytest.fixture(scope="session")
def upstream(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with (
        IdentityServer() as identity,
        Upstream.opened(cloud, identity, tmp_path_factory.mktemp("upstream"), FUNCTIONS) as upstream,
    ):
        yield upstream


@pytest.fixture
def shop(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudShop]:
    """DAG files of ours, on the cluster that upstream's client uses."""
    for name, value in NO_WAITING.items():
        monkeypatch.setenv(name, value)
    shop = CloudShop(tmp_path, Installation(), monkeypatch, cloud)
    shop.connect(project=PROJECT, zone=ZONE, cluster=CLUSTER, bucket=BUCKET)
    shop.dag_file.parent.mkdir()
    yield shop
    shop.open_gate()
    cloud.heal()


@pytest.fixture
def submit(shop: CloudShop) -> Callable[..., str]:
    """``submit("add", 1, 2)``: a task of ours submits a job; gives its id. Options are the operator's."""
    numbers = itertools.count(1)

    def submit(function: str, *args: Any, **options: Any) -> str:
        given = {"task_id": "submit", "op_args": list(args), **options}
        operator = f"KineticSubmitOperator(**{{**JOB, **{given!r}}}, python_callable={function})"
        data = "from airflow_provider_kinetic import Data"
        shop.write(f"{data}\n{FUNCTIONS}\n\nwith DAG('shop', schedule=None) as dag:\n    {operator}\n")
        result = shop.run("submit", run_id=f"run_{next(numbers)}")
        assert result.state == "success", result.error
        return str(result.value)

    return submit


@pytest.fixture
def ours(cloud: Cloud, tmp_path: Path) -> str:
    """Our runner in an image of upstream's own making, in the place of its own."""
    bundle = runner_bundle.build(tmp_path / "runner.pyz")
    name = "registry.example/our-runner:1"
    cloud.kube.images[name] = Image(files={RUNNER: str(bundle.path)})
    return name


@pytest.fixture
def packed(cloud: Cloud, submit: Callable[..., str]) -> Callable[..., str]:
    """``packed("add", 1, 2)``: a job of ours whose machine never starts, taken over by one of upstream's making."""

    def packed(function: str, *args: object, **options: object) -> str:
        cloud.kube.images[STUCK] = Image(pull_error="not found")
        job_id = submit(function, *args, container_image=STUCK, **options)
        name = f"kinetic-{job_id}"
        ours = next(job for job in cloud.jobs() if job["metadata"]["name"] == name)
        cloud.kube.registry.delete(JOBS, "default", name, {"propagationPolicy": "Background"})
        until(lambda: name not in [job["metadata"]["name"] for job in cloud.jobs()])
        cloud.kube.registry.create(JOBS, "default", taken_over(ours))
        return job_id

    return packed


@pytest.fixture
def kinetic(
    shop: CloudShop,  # noqa: ARG001 (the connection)
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """``kinetic("jobs", "list")``: our ``airflow kinetic …``."""
    from airflow.cli.cli_parser import get_parser

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # what a command sets is taken back after the test
    return command_line(get_parser(), capsys)


@pytest.fixture
def over(cloud: Cloud) -> Callable[[str], str]:
    """Wait for the end of a job, of whomever; gives its id."""

    def over(job_id: str) -> str:
        name = f"kinetic-{job_id}"
        until(lambda: any(job["metadata"]["name"] == name and ended(job) for job in cloud.jobs()), PATIENCE)
        return job_id

    return over


def ended(job: Object) -> bool:
    return conditions.holds(job, "Complete") or conditions.holds(job, "Failed")


def taken_over(job: Object) -> Object:
    """The same job as upstream's client would have made it (``contract`` 3.3)."""
    meta, container = job["metadata"], job["spec"]["template"]["spec"]["containers"][0]
    command = [*container["command"], *container.get("args", [])]
    flags = command[command.index("--context-gcs") :]
    job_id = meta["labels"]["job-id"]
    labels = {"app": "kinetic", "job-id": job_id}
    kept = ("KERAS_BACKEND", "JAX_PLATFORMS", "JOB_ID", "GCS_BUCKET")
    worker = {
        "name": "kinetic-worker",
        "image": IMAGE,
        "command": ["python3", "-u", RUNNER],
        "args": flags,
        "env": [each for each in container["env"] if each["name"] in kept],
    }
    spec = {"restartPolicy": "Never", "serviceAccountName": "kinetic", "containers": [worker]}
    template = {"metadata": {"labels": {**labels, "job-name": meta["name"]}}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": meta["name"], "labels": labels},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 600, "template": template},
    }
