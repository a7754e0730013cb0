"""A trial on both kinds of stores."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import killed_training
import pytest
from checkpoint_files import write
from gcs_server import GcsServer

from airflow_provider_kinetic.job import gcs_vault
from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import FileVault, Vault

BUCKET = "tests"


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer(BUCKET) as server:
        yield server
        assert server.unknown == []


@dataclass
class Place:
    """An output directory, its store, and the attempts that work there."""

    uri: str
    vault: Vault
    attempts: list[Trial] = field(default_factory=list)

    @property
    def layout(self) -> TrialLayout:
        return TrialLayout(self.uri)

    def begin(self, keep: Keep | None = None, vault: Vault | None = None) -> Trial:
        """A new attempt, whatever became of the one before."""
        trial = Trial(self.uri, keep or Keep(latest=100), vault or self.vault)
        trial._saver._background.submit(int).result()  # what is cleared up at the start is
        self.attempts.append(trial)
        return trial

    def names(self, folder: str = "") -> list[str]:
        prefix = f"{self.uri}/{folder}"
        return [uri[len(self.uri) + 1 :] for uri in self.vault.list(prefix)]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing is left on this machine."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("KINETIC_TMP", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(params=["file", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "file":
        made = Place(path_to_uri(tmp_path / "out put"), FileVault())
    else:
        server: GcsServer = request.getfixturevalue("gcs")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        session = Session({"STORAGE_EMULATOR_HOST": server.url}, patience=10)
        vault = GcsVault(session)
        monkeypatch.setattr(gcs_vault, "vault", lambda: vault)
        made = Place(f"gs://{BUCKET}/out put", vault)
    yield made
    for trial in made.attempts:
        if not trial.closed:
            trial.close()
    if request.param == "gs":
        session.close()


@pytest.fixture
def training(place: Place, scratch: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the loop; what a killed process leaves on its machine goes with the machine."""
    running = []

    def start(*death: Any, before: str = "") -> subprocess.Popen[str]:
        """``before``: code that runs first."""
        support = Path(killed_training.__file__).parent
        environ = {**os.environ, "PYTHONPATH": f"{support}:{support.parent.parent}"}
        code = f"{before}\nimport sys, killed_training\nkilled_training.main(*sys.argv[1:])"
        command = [sys.executable, "-c", code, place.uri, *map(str, death)]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    for left in scratch.iterdir():
        for path in sorted(left.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        left.rmdir()


@pytest.fixture
def saved() -> Callable[..., None]:
    def save(trial: Trial, step: int, **metadata: Any) -> None:
        with trial.save(step, **metadata) as folder:
            write(folder, {"state": str(step).encode()})

    return save
