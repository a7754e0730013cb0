"""What a trial was told when it was submitted: its arguments, and the checkpoint that it begins with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.request import trial_facts
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint, read_record
from airflow_provider_kinetic.job.training.named import Named, checkpoint_of, uri_of
from airflow_provider_kinetic.job.training.restoring import Restorer
from airflow_provider_kinetic.job.training.shelf import Shelf
from airflow_provider_kinetic.job.vaults import Vault, as_uri, open_vault


def facts_of(output_dir: str) -> dict[str, Any]:
    """For the records of a start; empty for another trial than the one that this process was made for."""
    own = os.environ.get(protocol.ENV_OUTPUT_DIR) or output_dir
    return trial_facts(os.environ) if as_uri(own) == output_dir else {}


class Facts:
    """Part of a ``Trial``."""

    dir: str
    attempt: int
    _vault: Vault
    _shelf: Shelf
    _restorer: Restorer

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        return facts_of(self.dir)

    @property
    def args(self) -> Mapping[str, Any]:
        """What the task called the function with, as the trial's records have it: secrets masked, long values cut.
        Empty outside of a task's job."""
        return dict(self._facts.get("args") or {})

    @property
    def source(self) -> str | None:
        """URI of the checkpoint that the task named in ``restore_from``; None where it named none."""
        return self._facts.get("source")

    @cached_property
    def resumed(self) -> bool:
        """Whether this attempt found a checkpoint of an earlier one when it started, ours or Orbax's."""
        record = read_record(self._vault, TrialLayout(self.dir).attempt(self.attempt)) or {}
        return bool((record.get("parent") or {}).get("checkpoint"))

    def _begins_with(self) -> str | None:
        """The source, while the trial has no checkpoint of its own, ours or Orbax's."""
        return self.source if self.source and self._shelf.latest() is None else None

    def _named(self, named: Named) -> tuple[Restorer, Checkpoint]:
        """Of any trial, and in a script of any store."""
        uri = uri_of(named)
        elsewhere = uri.partition("://")[0] != self.dir.partition("://")[0]
        vault = open_vault(uri) if elsewhere else self._vault
        return Restorer(uri, vault) if elsewhere else self._restorer, checkpoint_of(named, vault)
