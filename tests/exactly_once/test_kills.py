"""The function runs once, and its value arrives, wherever the process of the task dies.

Nothing is patched: each case is a process that SIGKILLs itself at one border that it crosses (``tripwire``), then
the next process that Airflow would start.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from installation import TaskKey, local_connection
from project import Project, until
from workers import Theatre

KEY = TaskKey("twice", "double", "run_1")
REPRESENTATIVE = {
    False: (
        "after PUT state-store kinetic_submission",
        "after cluster.create in submit._submit",
        "before PATCH state success",
    ),
    True: (
        "after PATCH state deferred",
        "after cluster.status in observe.perform",
        "after cluster.delete in cleanup.clean",
    ),
}


def stage(folder: Path, deferrable: bool) -> tuple[Project, Theatre]:
    project = Project.make(folder, deferrable=deferrable)
    theatre = Theatre(project.dag_file, KEY, folder)
    theatre.open(local_connection(project.platform))
    return project, theatre


def survives(folder: Path, deferrable: bool, kill_at: str) -> None:
    """Play one case and look at everything that it may leave behind."""
    project, theatre = stage(folder, deferrable)
    row = theatre.play(kill_at)
    story = f"{theatre.legs}, try {row.try_number}\n{theatre.output[-2000:]}"
    assert sum(leg.endswith("!") for leg in theatre.legs) == 1, f"nobody came by: {story}"
    assert row.state == "success", story
    assert theatre.db.xcom(KEY) == 42, story
    assert len(project.runs) == 1, f"the function ran {len(project.runs)} times: {story}"
    assert project.artifacts == [], story
    until(lambda: not project.processes)


@pytest.mark.parametrize(
    ("deferrable", "kill_at"), [(mode, point) for mode, points in REPRESENTATIVE.items() for point in points]
)
def test_a_killed_process_costs_no_execution(tmp_path, deferrable, kill_at):
    survives(tmp_path, deferrable, kill_at)


@pytest.mark.kills
@pytest.mark.timeout(600)
@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
def test_no_kill_anywhere_costs_an_execution(tmp_path, deferrable):
    rehearsal = tmp_path / "rehearsal"
    project, theatre = stage(rehearsal, deferrable)
    assert theatre.play().state == "success", theatre.output[-3000:]
    assert len(project.runs) == 1
    points = theatre.crossings

    def attempt(number_and_point: tuple[int, str]) -> str:
        number, point = number_and_point
        try:
            survives(tmp_path / str(number), deferrable, point)
        except AssertionError as failed:
            return f"{point}: {failed}"
        return ""

    with ThreadPoolExecutor(2) as pool:
        failures = [failure for failure in pool.map(attempt, enumerate(points)) if failure]

    assert len(points) > 60, points
    assert not failures, f"{len(failures)} of {len(points)} kill points:\n\n" + "\n\n".join(failures)
