"""How often a submit waits for the store or the cluster, beside upstream's ``run_async`` on the same servers.

Both submit the same function to the same Kubernetes API server (TLS) and the same Cloud Storage, with a named image and
clients that are warm. The servers keep every request waiting for a while, and count: a request that comes while another
one is still being kept waiting cannot depend on it, so the longest chain of requests that lie at least that far
apart is the number of sequential round trips. Tokens and the look-up of a cluster go elsewhere and are not counted.
The third row is ours with an image that is found by content, in a registry that is as slow.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from support.round_trips import chain

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "support")]

RUNS = 10
LATENCY = 0.1
"""Seconds that every request waits, more than a busy machine takes to start a few threads."""
LIMIT_ROUND_TRIPS = 3
FUNCTION = "def work(x):\n    return 2 * x\n"


@dataclass(frozen=True)
class Submit:
    """One submit: what it asked for in which order, in how many steps, and its time in seconds."""

    requests: list[str]
    round_trips: int
    seconds: float


class Servers:
    """Both servers, kept slow, and what they were asked."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.registry: list[float] = []
        """When it was asked."""
        cloud.gcs.faults.latency = LATENCY
        cloud.kube.fail(delay=LATENCY, times=sys.maxsize)

    def measured(self, submit: Callable[[], object]) -> Submit:
        stored, asked = len(self.cloud.gcs.faults.served), len(self.cloud.kube.requests)
        began = time.monotonic()
        submit()
        took = time.monotonic() - began
        requests = [(each.at, f"store {each.kind}") for each in self.cloud.gcs.faults.served[stored:]]
        requests += [(at, "registry look-up") for at in self.registry if at >= began]
        requests += [(each.at, f"cluster {each.verb} {each.resource}") for each in self.cloud.kube.requests[asked:]]
        requests.sort()
        return Submit([name for _, name in requests], chain((at for at, _ in requests), LATENCY), took)


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    from cloud import IMAGE, Cloud
    from kube import Image
    from upstream import BUCKET

    with Cloud.opened(folder, service_accounts=["kinetic"]) as cloud:
        cloud.kube.images[IMAGE] = Image(idle=True)  # the pods do not take the processor that is measured
        cloud.add_bucket(BUCKET)
        yield Servers(cloud)


@contextmanager
def upstream(there: Servers, folder: Path) -> Iterator[Callable[[int], object]]:
    from cloud import IMAGE
    from identity_server import IdentityServer
    from upstream import Upstream

    with IdentityServer() as identity, Upstream.opened(there.cloud, identity, folder, FUNCTION) as client:
        yield lambda run: client.submit("work", run, container_image=IMAGE)


class Shelf:
    """A registry that has every image."""

    def __init__(self, there: Servers, image: str) -> None:
        self._there, self._image = there, image

    def request_for(self, category: str, requirements: str, base_image: str | None = None) -> Any:
        from airflow_provider_kinetic.model.images import ImageRequest

        return ImageRequest(category, "3.11", base_image or "python:3.11-slim", requirements)

    def find(self, request: Any) -> Any:  # noqa: ARG002
        from airflow_provider_kinetic.model.images import Image

        self._there.registry.append(time.monotonic())
        time.sleep(LATENCY)
        return Image(self._image, cached=True)


def found(there: Servers, folder: Path) -> Any:
    return ours(there, folder, bundled=True)


@contextmanager
def ours(there: Servers, folder: Path, *, bundled: bool = False) -> Iterator[Callable[[int], object]]:
    import pytest
    from cloud import IMAGE
    from submit import Memory
    from upstream import BUCKET, CLUSTER, PROJECT, ZONE

    from airflow_provider_kinetic.hooks.kinetic import KineticHook
    from airflow_provider_kinetic.lifecycle.submit import ensure
    from airflow_provider_kinetic.lifecycle.work import Work
    from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity

    def submit(run: int) -> object:
        work = Work(
            function=function,
            args=(run,),
            kwargs={},
            spec=JobSpec(func_name="work", accelerator="cpu", container_image=None if bundled else IMAGE),
            identity=TaskIdentity("dag", "task", f"run_{run}"),
            max_tries=0,
            secrets={},
        )
        hook = KineticHook()
        shelf: Any = Shelf(there, IMAGE)
        ports = replace(hook.ports, builder=shelf) if bundled else hook.ports
        return ensure(ports, hook.target, work, Memory(), say=lambda _: None)

    function = load(folder / "project" / "dag_file.py")
    with pytest.MonkeyPatch.context() as patch:
        there.cloud.enter(patch, project=PROJECT, zone=ZONE, cluster=CLUSTER, bucket=BUCKET)
        yield submit


def load(path: Path) -> Any:
    """The function, from a module that has a file of its own."""
    import importlib.util

    path.parent.mkdir(parents=True)
    (path.parent / "pyproject.toml").write_text("[project]\nname = 'example'\ndependencies = []\n")
    path.write_text(FUNCTION)
    spec = importlib.util.spec_from_file_location("unusual_prefix_dag_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.work


def table(results: dict[str, list[Submit]]) -> None:
    print(f"{RUNS} submits each, {LATENCY * 1000:.0f} ms for every request")
    print(f"{'':24}{'sequential round trips':>24}{'requests':>10}{'wall, median':>14}{'worst':>10}")
    for name, runs in results.items():
        trips = sorted({run.round_trips for run in runs})
        requests = statistics.median(len(run.requests) for run in runs)
        times = [run.seconds * 1000 for run in runs]
        shown = "–".join(str(each) for each in sorted({trips[0], trips[-1]}))
        median, worst = f"{statistics.median(times):.0f} ms", f"{max(times):.0f} ms"
        print(f"{name:24}{shown:>24}{requests:>10.0f}{median:>14}{worst:>10}")
    for name, runs in results.items():
        print(f"{name}: {', '.join(runs[-1].requests)}")


CONTENDERS = {"upstream's run_async": upstream, "named image": ours, "image found": found}


def main() -> int:
    results = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        there = stack.enter_context(servers(folder))
        for name, contender in CONTENDERS.items():
            (folder / name).mkdir()
            submit = stack.enter_context(contender(there, folder / name))
            for run in range(2):
                submit(run)  # the first ones import, connect and fetch tokens
            results[name] = [there.measured(partial(submit, run)) for run in range(2, RUNS + 2)]
        there.cloud.gcs.faults.latency = 0.0
        there.cloud.kube.heal()
    table(results)
    most = max(run.round_trips for name in ("named image", "image found") for run in results[name])
    good = most <= LIMIT_ROUND_TRIPS
    print(f"limit: {LIMIT_ROUND_TRIPS} sequential round trips: {'met' if good else 'NOT met'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
