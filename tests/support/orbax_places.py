"""Where a training with Orbax keeps its output, and what is there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.native import NativeSteps
from airflow_provider_kinetic.job.vaults import Vault


@dataclass
class Place:
    """Where a training keeps its output."""

    uri: str
    vault: Vault
    env: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> TrialLayout:
        return TrialLayout(self.uri)

    @property
    def steps(self) -> list[int]:
        """Of Orbax, committed."""
        return [each.step for each in NativeSteps(self.vault, self.layout).all()]

    def record(self, name: str) -> dict:
        return json.loads(self.vault.read(f"{self.layout.records}/{name}"))

    def rows(self) -> list[int]:
        """Steps of the one series, in order."""
        series = self.record("metrics/summary.json")["series"]["train/loss"]
        steps = [step for step, _ in series["points"]]
        assert series["count"] == len(steps)
        return steps
