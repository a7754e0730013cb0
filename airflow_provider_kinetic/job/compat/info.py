"""What a script asks about itself. Numbers of Determined's database are our names."""

from __future__ import annotations

from typing import Any

from airflow_provider_kinetic.job.compat.advice import absent


class TrialInfo:
    """Of this attempt. ``trial_id`` and ``experiment_id`` are texts: the external ids where there are such."""

    def __init__(self, experiment: str, trial: str, config: dict[str, Any], attempt: int, steps: int) -> None:
        self.experiment_id = experiment
        self.trial_id = trial
        self.trial_seed = 0
        """As for every detached trial of Determined."""
        self.hparams: dict[str, Any] = dict(config.get("hparams") or {})
        self._config = config
        self._steps_completed = steps
        self._trial_run_id = attempt


class ClusterInfo:
    """The part of Determined's that is not about its cluster; asking for the rest is an error that says so."""

    task_type = "TRIAL"
    agent_id = "unmanaged"

    def __init__(self, trial: TrialInfo, latest_checkpoint: str | None) -> None:
        self.trial = self._trial_info = trial
        self.latest_checkpoint = latest_checkpoint
        """Of the moment of ``init``: goes into ``checkpoint.restore_path``."""
        self.user_data: dict[str, Any] = dict(trial._config.get("data") or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise absent(f"info.{name}", "There is no master and no agent: `info` knows its trial and checkpoint.")
