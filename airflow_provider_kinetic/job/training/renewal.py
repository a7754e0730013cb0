"""A trial that lasts longer than its bucket keeps objects.

Buckets of jobs delete by age. The first records of a trial are its story: without any start record left, the next start
would be number 1 again. So while an attempt lives, what is old is made young once a day, whatever it saves with, in a
thread of its own: after weeks there are thousands of objects, and neither a save nor a sign of life may wait for them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.checkpoints import survey
from airflow_provider_kinetic.job.training.retention import refresh
from airflow_provider_kinetic.job.training.trouble import Trouble
from airflow_provider_kinetic.job.vaults import Vault

FIRST = 10.0
"""Seconds from the start to the first time: the trial may have rested."""
EVERY = 86_400.0
AGAIN = 3_600.0
"""After trouble."""


class Renewal:
    """Of a trial's records and of the checkpoints that can be restored."""

    def __init__(self, vault: Vault, layout: TrialLayout, starts: dict[int, Mapping[str, Any]]) -> None:
        self._vault = vault
        self._layout = layout
        self._starts = starts
        self._trouble = Trouble()
        self._closing = threading.Event()

    def start(self) -> None:
        """Files do not age."""
        if not self._layout.output_dir.startswith("file://"):
            threading.Thread(target=self._run, name="kinetic-renewal", daemon=True).start()

    def renew(self) -> bool:
        """Whether all went well; trouble is a warning, once until it is over."""
        try:
            kept = [str(name) for name in survey(self._vault, self._layout, self._starts).visible()]
            now = max((entry.updated for entry in self._vault.tree(self._layout.records)), default=None)
            if now is not None:  # else somebody has deleted the trial
                refresh(self._vault, self._layout, kept, now)
            self._trouble.over()
        except Exception as error:
            self._trouble.told(f"Old objects of {self._layout.output_dir} cannot be renewed: {error}", stacklevel=2)
        return not self._trouble.lasts

    def close(self) -> None:
        self._closing.set()

    def _run(self) -> None:
        pause = FIRST
        while not self._closing.wait(pause):
            pause = EVERY if self.renew() else AGAIN
