"""Real DAG files, loaded as Airflow loads them, with tasks that run as real jobs of this machine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import DAG
from installation import Installation, local_connection
from tasks import TaskResult, run
from workers import NO_WAITING

DAGS = Path(__file__).parent / "dags"


@dataclass
class Project:
    """A user's project: a folder of DAG files with helper modules beside them."""

    folder: Path
    files: dict[str, dict[str, DAG]] = field(default_factory=dict)

    def dag(self, file: str, dag_id: str | None = None) -> DAG:
        """A DAG of ``dags/{file}.py``, the one of that name unless it is said."""
        if file not in self.files:
            bag = BundleDagBag(
                dag_folder=str(self.folder / "dags" / f"{file}.py"),
                safe_mode=False,
                load_op_links=False,
                bundle_path=self.folder / "dags",
                bundle_name="bakery",
            )
            assert bag.import_errors == {}
            self.files[file] = bag.dags
        return self.files[file][dag_id or file]

    def write(self, file: str, text: str) -> DAG:
        """Write a DAG file and load it."""
        (self.folder / "dags" / f"{file}.py").write_text(text)
        return self.dag(file)


@dataclass
class Airflow:
    """What runs the tasks. ``folder`` is that of the local platform."""

    db: Installation
    folder: Path

    def run(self, task: Any, *, map_index: int = -1) -> TaskResult:
        return run(task, self.db, map_index=map_index)

    def value(self, task: Any, *, map_index: int = -1) -> Any:
        """The return value of a task that has to succeed."""
        result = self.run(task, map_index=map_index)
        assert result.state == "success", "\n".join(result.log)
        return result.value

    @property
    def stored(self) -> list[str]:
        """Every file below the folders of the jobs and of the cluster."""
        places = ("cluster", "jobs")
        return sorted(
            str(file.relative_to(self.folder)) for place in places for file in (self.folder / place).rglob("job-*/*")
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text("[project]\nname = 'bakery'\n")
    shutil.copytree(DAGS, folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    path, modules = [*sys.path], set(sys.modules)
    yield Project(folder)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    for name, value in NO_WAITING.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW__KINETIC__POLL_INTERVAL", "0.05")
    for installer in ("UV_OFFLINE", "PIP_NO_INDEX"):  # an image that is missing by mistake is an error, no build of JAX
        monkeypatch.setenv(installer, "1")
    folder = tmp_path / "kinetic"
    return Airflow(Installation(connections=local_connection(folder)), folder)
