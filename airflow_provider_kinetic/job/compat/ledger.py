"""What the script says of itself, kept beside the trial for those who read it later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.compat.advice import warn_once
from airflow_provider_kinetic.job.compat.config import Config
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.redaction import MASK, looks_secret, masked
from airflow_provider_kinetic.job.training.checkpoints import read_record
from airflow_provider_kinetic.job.training.numbers import as_json
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import open_vault

IDS = ("external_experiment_id", "external_trial_id")


class Ledger:
    """``.kinetic/core_v2.json``: as in Determined, the last start's words replace those before."""

    def __init__(self, trial: Trial, config: Config) -> None:
        self._trial = trial
        self._vault = open_vault(trial.dir)
        self._uri = f"{TrialLayout(trial.dir).records}/core_v2.json"
        before = read_record(self._vault, self._uri) or {}
        self.metadata: dict[str, Any] = dict(before.get("metadata") or {})
        self._config = {name: _written(value) for name, value in config.to_dict().items()}
        self._compare(before.get("config") or {})
        self._write()

    def set_metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """:raises TypeError: it is not JSON."""
        self.metadata = as_json(metadata)
        self._write()
        return self.metadata

    def _compare(self, before: Mapping[str, Any]) -> None:
        for name in IDS:
            earlier, now = before.get(name), self._config[name]
            if earlier and now and earlier != now:
                warn_once(f"core_v2: {self._uri} was begun with {name}={earlier!r}; now it is {now!r}")

    def _write(self) -> None:
        if self._trial.process:
            return  # rank 0 says the same
        content = {
            "v": protocol.VERSION,
            "attempt": self._trial.attempt,
            "config": self._config,
            "metadata": self.metadata,
        }
        self._vault.write(self._uri, json.dumps(masked(content, os.environ)).encode())


def _written(value: Any, name: str = "") -> Any:
    """What JSON does not have appears as the name of its type; a text whose name looks secret is masked."""
    if isinstance(value, Mapping):
        return {str(key): _written(each, str(key)) for key, each in value.items()}
    if isinstance(value, str) and looks_secret(name):
        return MASK
    try:
        return as_json(value)
    except (TypeError, ValueError):
        return type(value).__name__
