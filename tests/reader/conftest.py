"""Trials as jobs leave them, and a reader of them with the stores of this side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import write
from gcs_places import BUCKET, gcs, gcs_store
from gcs_server import GcsServer

from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import FileVault, Vault
from airflow_provider_kinetic.lifecycle.reader import TrialReader
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.local import LocalStore

__all__ = ["gcs", "gcs_store"]


@dataclass
class Place:
    """An output directory: the job's side of it writes, ours reads."""

    uri: str
    vault: Vault
    store: Store
    attempts: list[Trial] = field(default_factory=list)

    @property
    def layout(self) -> TrialLayout:
        return TrialLayout(self.uri)

    def begin(self, keep: Keep | None = None) -> Trial:
        """A new attempt, whatever became of the one before."""
        trial = Trial(self.uri, keep or Keep(latest=100), self.vault)
        trial._saver._background.submit(int).result()  # what is cleared up at the start is
        self.attempts.append(trial)
        return trial

    def reader(self, **given: Any) -> TrialReader:
        return TrialReader(self.store, self.uri, **given)


@pytest.fixture(params=["file", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("KINETIC_TMP", str(scratch))
    if request.param == "file":
        made = Place(path_to_uri(tmp_path / "out put"), FileVault(), LocalStore())
    else:
        server: GcsServer = request.getfixturevalue("gcs")
        session = Session({"STORAGE_EMULATOR_HOST": server.url}, patience=10)
        made = Place(f"gs://{BUCKET}/out put", GcsVault(session), request.getfixturevalue("gcs_store"))
    yield made
    for trial in made.attempts:
        if not trial.closed:
            trial.close()
    if request.param == "gs":
        session.close()


@pytest.fixture
def saved() -> Callable[..., str]:
    """Saves a checkpoint of two files; its name."""

    def save(trial: Trial, step: int, **metadata: Any) -> str:
        with trial.save(step, **metadata) as folder:
            write(folder, {"state": str(step).encode(), "a/b ä": b"x" * 100})
        latest = trial.latest
        assert latest is not None
        return latest.name

    return save
