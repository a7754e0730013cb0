"""Ten tasks and a kill: one build, and no half-built environment is ever used."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.images import Image

pytestmark = pytest.mark.usefixtures("stage")

CALLERS = 10
# Each has a package cache of its own: that uv locks its cache must not be what makes it one build.
SCRIPT = """
import os, sys
from pathlib import Path
from airflow_provider_kinetic.builders.local import LocalBuilder
os.environ["UV_CACHE_DIR"] = sys.argv[2]
builder = LocalBuilder(Path(sys.argv[1]), base_packages=["kinetic_probe_slow"])
image = builder.ensure(builder.request_for("cpu", ""), log=lambda line: print(line, flush=True))
print("cached" if image.cached else "built")
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


class Waiter(threading.Thread):
    """Asks for the same environment in this process."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.builder = LocalBuilder(root, base_packages=["kinetic_probe_slow"])
        self.request = self.builder.request_for("cpu", "")
        self.lines: list[str] = []
        self.image: Image | None = None

    def run(self) -> None:
        self.image = self.builder.ensure(self.request, log=self.lines.append)


def test_ten_processes_at_once_cause_one_build(stage, start: Start, root: Path, tmp_path: Path) -> None:
    stage.hold()
    callers = [start(tmp_path / f"cache-{n}") for n in range(CALLERS)]
    stage.wait_for_build()
    late = Waiter(root)
    late.start()
    stage.wait_until(lambda: late.lines)
    stage.release()
    outputs = [caller.communicate()[0].splitlines() for caller in callers]
    late.join()
    assert sorted(output[-1] for output in outputs) == ["built"] + ["cached"] * (CALLERS - 1)
    assert len(stage.builds()) == 1
    assert late.image is not None
    assert late.image.cached
    assert works(late.image)
    (builder,) = (caller for caller, output in zip(callers, outputs, strict=True) if output[-1] == "built")
    assert len(late.lines) == 1
    assert late.lines[0].startswith(f"waiting for the build of tag {late.request.tag} by process {builder.pid} on ")


def test_after_a_kill_of_builder_and_installer_the_next_one_builds(
    stage, start: Start, root: Path, tmp_path: Path
) -> None:
    stage.hold()
    killed = start(tmp_path / "cache")
    stage.wait_for_build()
    waiter = Waiter(root)
    waiter.start()
    stage.wait_until(lambda: waiter.lines)
    for process in [psutil.Process(killed.pid), *psutil.Process(killed.pid).children(recursive=True)]:
        process.kill()
    killed.communicate()
    assert waiter.builder.find(waiter.request) is None
    stage.release()
    waiter.join(20)
    assert waiter.image is not None
    assert not waiter.image.cached
    assert works(waiter.image)


def test_nobody_builds_while_the_installer_of_a_killed_builder_still_writes(
    stage, start: Start, root: Path, tmp_path: Path
) -> None:
    stage.hold()
    killed = start(tmp_path / "cache")
    stage.wait_for_build()
    killed.kill()
    killed.communicate()
    waiter = Waiter(root)
    waiter.start()
    waiter.join(0.5)
    assert waiter.is_alive()
    assert len(stage.builds()) == 1
    assert waiter.builder.find(waiter.request) is None
    stage.release()
    waiter.join(20)
    assert waiter.image is not None
    assert not waiter.image.cached
    assert works(waiter.image)


def test_a_folder_without_its_seal_is_built_anew(root: Path) -> None:
    waiter = Waiter(root)
    half = root / waiter.request.tag
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").symlink_to(sys.executable)
    (half / "leftover").touch()
    assert waiter.builder.find(waiter.request) is None
    waiter.run()
    assert waiter.image is not None
    assert not waiter.image.cached
    assert works(waiter.image)
    assert not (half / "leftover").exists()
