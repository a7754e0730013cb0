"""The same tests for a task that defers and, in the long group, for one that waits in its worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from installation import TaskKey, local_connection
from project import Project
from workers import Theatre


@pytest.fixture(
    params=[pytest.param(False, marks=pytest.mark.kills, id="waiting"), pytest.param(True, id="deferrable")]
)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    made = Project.make(tmp_path, deferrable=request.param)
    yield made
    for process in made.processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
            process.kill()


@pytest.fixture
def theatre(project: Project) -> Theatre:
    """The project's task, queued for the first of two tries."""
    theatre = Theatre(project.dag_file, TaskKey("twice", "double", "run_1"), project.folder)
    theatre.open(local_connection(project.platform))
    return theatre
