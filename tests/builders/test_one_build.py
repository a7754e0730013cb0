"""Ten tasks and a kill: one build that needs nobody, and no half-built environment is ever used."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from local_builds import built, finished

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.builders.local_record import BUILDS, GRACE, lock_of
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.images import Build, BuildOptions, BuildState, BuildStatus, Image

pytestmark = pytest.mark.usefixtures("stage")

CALLERS = 10
# Each has a package cache of its own: that uv locks its cache must not be what makes it one build.
SCRIPT = """
import os, sys, time
from pathlib import Path
from airflow_provider_kinetic.builders.local import LocalBuilder
os.environ["UV_CACHE_DIR"] = sys.argv[2]
builder = LocalBuilder(Path(sys.argv[1]), base_packages=["kinetic_probe_slow"])
build = builder.start(builder.request_for("cpu", ""), log=lambda line: print(line, flush=True))
while not (status := builder.status(build)).state.terminal:
    time.sleep(0.02)
print("cached" if status.image.cached else "built")
"""


Start = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts a process that asks for the environment, with this package cache."""
    started: list[subprocess.Popen[str]] = []

    def start(cache: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(root), str(cache)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        with process:  # waits and closes its output
            process.kill()


def works(image: Image) -> bool:
    command = [
        str(uri_to_path(image.uri) / "bin/python"),
        "-c",
        "import kinetic_probe_slow; print(kinetic_probe_slow.ANSWER)",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "42\n"


class Waiter:
    """Asks for the same environment in this process."""

    def __init__(self, root: Path) -> None:
        self.builder = LocalBuilder(root, base_packages=["kinetic_probe_slow"])
        self.request = self.builder.request_for("cpu", "")
        self.lines: list[str] = []

    def demand(self) -> Build:
        return self.builder.start(self.request, log=self.lines.append)

    def state(self, build: Build) -> BuildState:
        return self.builder.status(build).state

    def status(self, build: Build) -> BuildStatus:
        return finished(self.builder, build)


def builder_of(build: Build) -> psutil.Process:
    """The process that builds it."""
    (found,) = (process for process in psutil.process_iter() if process_builds(process, build))
    return found


def process_builds(process: psutil.Process, build: Build) -> bool:
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        return words[-4:-1] == [str(uri_to_path(build.place)), build.tag, str(build.number)]
    return False


def test_ten_processes_at_once_cause_one_build(stage, start: Start, root: Path, tmp_path: Path) -> None:
    stage.hold()
    callers = [start(tmp_path / f"cache-{n}") for n in range(CALLERS)]
    stage.wait_for_build()
    late = Waiter(root)
    build = late.demand()
    assert late.state(build) is BuildState.WORKING
    stage.release()
    outputs = [caller.communicate()[0].splitlines() for caller in callers]
    assert sorted(output[-1] for output in outputs) == ["built"] + ["cached"] * (CALLERS - 1)
    assert len(stage.builds()) == 1
    image = late.status(build).image
    assert image is not None
    assert (image.cached, build.started_by_us) == (True, False)
    assert works(image)
    (starter,) = (caller for caller, output in zip(callers, outputs, strict=True) if output[-1] == "built")
    assert len(late.lines) == 1
    assert late.lines[0].startswith(f"waiting for the build of tag {build.tag} by process {starter.pid} on ")


def test_the_build_survives_who_started_it(stage, start: Start, root: Path, tmp_path: Path) -> None:
    stage.hold()
    starter = start(tmp_path / "cache")
    stage.wait_for_build()
    starter.kill()
    starter.communicate()
    waiter = Waiter(root)
    build = waiter.demand()
    assert waiter.state(build) is BuildState.WORKING
    stage.release()
    image = waiter.status(build).image
    assert image is not None
    assert works(image)
    assert (build.number, len(stage.builds())) == (1, 1)


def test_after_a_kill_of_builder_and_installer_the_next_one_builds(stage, root: Path) -> None:
    stage.hold()
    waiter = Waiter(root)
    build = waiter.demand()
    stage.wait_for_build()
    builder = builder_of(build)
    for process in [builder, *builder.children(recursive=True)]:
        process.kill()
    assert waiter.status(build).state is BuildState.CANCELLED
    assert waiter.builder.find(waiter.request) is None
    stage.release()
    again = waiter.demand()
    assert (again.number, again.started_by_us) == (2, True)
    image = waiter.status(again).image
    assert image is not None
    assert not image.cached
    assert works(image)


def test_nobody_builds_while_the_installer_of_a_killed_builder_still_writes(stage, root: Path) -> None:
    stage.hold()
    waiter = Waiter(root)
    build = waiter.demand()
    stage.wait_for_build()
    builder_of(build).kill()
    assert waiter.demand().number == build.number
    assert waiter.state(build) is BuildState.WORKING
    assert waiter.builder.find(waiter.request) is None
    stage.release()
    assert waiter.status(build).state is BuildState.CANCELLED
    again = waiter.status(waiter.demand()).image
    assert again is not None
    assert works(again)


def test_nobody_waits_for_ever_for_the_installer_of_a_killed_builder(stage, root: Path) -> None:
    stage.hold()
    waiter = Waiter(root)
    build = waiter.demand()
    stage.wait_for_build()
    builder_of(build).kill()
    order = root / BUILDS / build.tag / "1" / "order.json"
    began = order.stat().st_mtime
    os.utime(order, (began, began - BuildOptions().timeout))
    assert waiter.state(build) is BuildState.WORKING
    os.utime(order, (began, began - BuildOptions().timeout - GRACE))
    status = waiter.builder.status(waiter.demand())
    assert (status.state, "was killed" in status.message) == (BuildState.TIMED_OUT, True)
    assert str(lock_of(root, build.tag)) in status.advice
    stage.release()
    stage.wait_until(lambda: waiter.state(build) is BuildState.CANCELLED)


def test_who_comes_back_after_the_end_is_told_of_it(stage, root: Path) -> None:
    stage.release()
    waiter = Waiter(root)
    build = waiter.demand()
    waiter.status(build)
    travelled = Build.from_dict(json.loads(json.dumps(build.to_dict())))
    assert waiter.builder.status(travelled).image == Image(
        build.uri, cached=False, build_id=build.id, log_url=build.log_url
    )
    assert uri_to_path(build.log_url).read_text().splitlines()[-1].startswith(f"built {build.tag} in ")
    late = waiter.demand()
    assert waiter.builder.status(late).image == Image(build.uri, cached=True)
    assert (late.started_by_us, len(stage.builds())) == (False, 1)


def test_a_failed_build_is_told_to_all_and_can_be_tried_again(index, root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_late"])
    request = builder.request_for("cpu", "")
    first = builder.start(request, log=print)
    told = finished(builder, first)
    assert (told.state, told.log_url) == (BuildState.FAILED, first.log_url)
    index.add("kinetic_probe_late")
    second = builder.start(request, log=print)
    assert finished(builder, second).state is BuildState.SUCCEEDED
    assert (second.number, second.started_by_us) == (2, True)
    assert finished(builder, first) == told


@pytest.mark.faults
def test_a_build_has_a_time_limit(stage, root: Path) -> None:
    stage.hold()
    builder = LocalBuilder(root, base_packages=["kinetic_probe_slow"], options=BuildOptions(timeout=1.5))
    status = finished(builder, builder.start(builder.request_for("cpu", ""), log=print))
    assert (status.state, status.message) == (BuildState.TIMED_OUT, "The build did not end within 1.5 s")
    stage.wait_until(lambda: not any(psutil.pid_exists(pid) for pid in stage.pids()))
    assert list(root.glob("cpu-*")) == []


@pytest.mark.faults
def test_a_cancelled_build_stops_its_installer(stage, root: Path) -> None:
    stage.hold()
    waiter = Waiter(root)
    build = waiter.demand()
    stage.wait_for_build()
    waiter.builder.cancel(build)
    assert waiter.status(build).state is BuildState.CANCELLED
    stage.wait_until(lambda: not any(psutil.pid_exists(pid) for pid in stage.pids()))
    assert list(root.glob("cpu-*")) == []
    stage.release()
    again = waiter.demand()
    waiter.builder.cancel(build)  # once more, and of the build that is over
    assert waiter.status(again).state is BuildState.SUCCEEDED


def test_a_folder_without_its_seal_is_built_anew(root: Path) -> None:
    waiter = Waiter(root)
    half = root / waiter.request.tag
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").symlink_to(sys.executable)
    (half / "leftover").touch()
    assert waiter.builder.find(waiter.request) is None
    image = built(waiter.builder, waiter.request)
    assert not image.cached
    assert works(image)
    assert not (half / "leftover").exists()
