"""One build, one execution, one value, wherever the process of a task whose image is missing dies.

As in ``exactly_once``: each case is a process that SIGKILLs itself at one border that it crosses, then the next process
that Airflow would start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from installation import TaskKey, local_connection
from project import Project, until
from workers import Theatre
from workshop import Workshop

KEY = TaskKey("twice", "double", "run_1")


def stage(folder: Path) -> tuple[Project, Theatre, Workshop]:
    project = Project.make(folder, deferrable=True)
    text = project.dag_file.read_text()
    lines = [line for line in text.splitlines() if "container_image=" not in line]
    project.dag_file.write_text("\n".join(lines).replace("accelerator=", "requirements=['six'], accelerator="))
    workshop = Workshop(folder / "workshop")
    theatre = Theatre(project.dag_file, KEY, folder, workshop=workshop.root)
    theatre.open(local_connection(project.platform))
    return project, theatre, workshop


def survives(folder: Path, kill_at: str) -> None:
    project, theatre, workshop = stage(folder)
    try:
        row = theatre.play(kill_at)
        story = f"{theatre.legs}, try {row.try_number}, {workshop.builds}\n{theatre.output[-2000:]}"
        assert sum(leg.endswith("!") for leg in theatre.legs) == 1, f"nobody came by: {story}"
        assert (row.state, theatre.db.xcom(KEY)) == ("success", 42), story
        assert len(project.runs) == 1, f"the function ran {len(project.runs)} times: {story}"
        assert workshop.states == ["SUCCEEDED"], story
        assert project.artifacts == ["_images"], story
        until(lambda: not project.processes)
    finally:
        for process in project.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def survivors(folder: Path, points: Sequence[str]) -> list[str]:
    """Play every point in a folder of its own, two at a time; what went wrong at which."""

    def attempt(number: int, point: str) -> str:
        try:
            survives(folder / str(number), point)
        except AssertionError as failed:
            return f"{point}: {failed}"
        return ""

    with ThreadPoolExecutor(2) as pool:
        return [failure for failure in pool.map(attempt, range(len(points)), points) if failure]


@pytest.mark.kills
@pytest.mark.timeout(600)
def test_no_kill_between_two_calls_costs_a_build_or_an_execution(tmp_path: Path) -> None:
    project, theatre, workshop = stage(tmp_path / "rehearsal")
    assert theatre.play().state == "success", theatre.output[-3000:]
    assert (len(project.runs), workshop.states) == (1, ["SUCCEEDED"])
    # What comes after the job has ended is the same with and without a build: `exactly_once` kills there.
    points = [point for point in theatre.crossings if not point.startswith("resume ")]
    failures = survivors(tmp_path, points)

    assert len(points) > 60, points
    assert not failures, f"{len(failures)} of {len(points)} kill points:\n\n" + "\n\n".join(failures)
