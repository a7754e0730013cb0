"""The function runs once, and its value arrives, wherever the process of the task dies.

Nothing is patched: each case is a process that SIGKILLs itself at one border that it crosses (``tripwire``), then
the next process that Airflow would start.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from installation import TaskKey, local_connection
from project import Project, until
from workers import Theatre

KEY = TaskKey("twice", "double", "run_1")
REPRESENTATIVE = {
    False: (
        "start after PUT state-store kinetic_submission",
        "start after cluster.create in submit._create",
        "start before PATCH state success",
    ),
    True: (
        "start after PATCH state deferred",
        "watch after cluster.status in observe.perform",
        "resume after cluster.delete in cleanup.clean",
    ),
}


def stage(folder: Path, deferrable: bool, *, disk: bool = False) -> tuple[Project, Theatre]:
    project = Project.make(folder, deferrable=deferrable)
    theatre = Theatre(project.dag_file, KEY, folder, disk=project.platform if disk else None)
    theatre.open(local_connection(project.platform))
    return project, theatre


def survives(folder: Path, deferrable: bool, kill_at: str, *, disk: bool = False) -> None:
    """Play one case and look at everything that it may leave behind."""
    project, theatre = stage(folder, deferrable, disk=disk)
    row = theatre.play(kill_at)
    story = f"{theatre.legs}, try {row.try_number}\n{theatre.output[-2000:]}"
    assert sum(leg.endswith("!") for leg in theatre.legs) == 1, f"nobody came by: {story}"
    assert row.state == "success", story
    assert theatre.db.xcom(KEY) == 42, story
    assert len(project.runs) == 1, f"the function ran {len(project.runs)} times: {story}"
    assert project.artifacts == [], story
    assert theatre.db.xcom(KEY, "job_id") in project.pointers, f"the job cannot be found any more: {story}"
    until(lambda: not project.processes)


def survivors(folder: Path, deferrable: bool, points: Sequence[str], *, disk: bool = False) -> list[str]:
    """Play every point in a folder of its own, two at a time; what went wrong at which."""

    def attempt(number: int, point: str) -> str:
        try:
            survives(folder / str(number), deferrable, point, disk=disk)
        except AssertionError as failed:
            return f"{point}: {failed}"
        return ""

    with ThreadPoolExecutor(2) as pool:
        return [failure for failure in pool.map(attempt, range(len(points)), points) if failure]


def rehearse(folder: Path, deferrable: bool, *, disk: bool = False) -> list[str]:
    """The points that a task comes by when nobody kills it."""
    project, theatre = stage(folder, deferrable, disk=disk)
    assert theatre.play().state == "success", theatre.output[-3000:]
    assert len(project.runs) == 1
    return theatre.crossings


@pytest.mark.parametrize(
    ("deferrable", "kill_at"), [(mode, point) for mode, points in REPRESENTATIVE.items() for point in points]
)
def test_a_killed_process_costs_no_execution(tmp_path, deferrable, kill_at):
    survives(tmp_path, deferrable, kill_at)


@pytest.mark.kills
@pytest.mark.timeout(600)
@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
def test_no_kill_between_two_calls_costs_an_execution(tmp_path, deferrable):
    points = rehearse(tmp_path / "rehearsal", deferrable)
    failures = survivors(tmp_path, deferrable, points)

    assert len(points) > 60, points
    assert not failures, f"{len(failures)} of {len(points)} kill points:\n\n" + "\n\n".join(failures)


@pytest.mark.kills
@pytest.mark.timeout(600)
def test_no_kill_between_two_changes_on_disk_costs_an_execution(tmp_path):
    calls = set(rehearse(tmp_path / "calls", False))
    points = [point for point in rehearse(tmp_path / "rehearsal", False, disk=True) if point not in calls]
    failures = survivors(tmp_path, False, points, disk=True)

    assert len(points) > 20, points
    assert not failures, f"{len(failures)} of {len(points)} kill points:\n\n" + "\n\n".join(failures)
