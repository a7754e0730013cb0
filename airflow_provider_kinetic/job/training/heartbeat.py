"""A sign of life, with how far the training says it is.

One small object, overwritten: its age by the store's clock says whether the attempt is alive, its step whether it gets
on (``checkpointing`` 3.3, 3.11). The way back of the same look is as important: an attempt that was replaced while it
was cut off learns it here, also when it never saves. Training never waits for any of this and never fails by it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.redaction import masked
from airflow_provider_kinetic.job.training.trouble import Trouble
from airflow_provider_kinetic.job.vaults import Vault

FIRST = 5.0
"""Seconds from the start to the first one: until then the start record says enough."""
EVERY = 30.0
LONGEST = 500
"""Characters of a status."""


class Heartbeat:
    """Of one attempt, from a thread of its own.

    :param newest: whether the attempt is; a replaced one leaves the object to its successor.
    """

    def __init__(self, vault: Vault, layout: TrialLayout, attempt: int, newest: Callable[[], bool]) -> None:
        self._vault = vault
        self._uri = layout.heartbeat
        self._attempt = attempt
        self._newest = newest
        self.step: int | None = None
        """The last one that was logged or saved."""
        self._said: dict[str, Any] = {"progress": None, "status": ""}
        self._unsaid = False
        self._trouble = Trouble()
        self._closing = threading.Event()
        self._beating = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._run, name="kinetic-heartbeat", daemon=True).start()

    def progress(self, fraction: float) -> None:
        """How much of the work is done, from 0 to 1; others see it within half a minute.

        :raises ValueError: it is less or more.
        """
        fraction = float(fraction)
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
        self._said["progress"] = fraction
        self._unsaid = True

    def status(self, text: str) -> None:
        """What is being done, such as ``"warming up"``; others see it within half a minute."""
        self._said["status"] = masked(str(text), os.environ)[:LONGEST]
        self._unsaid = True

    def said(self) -> object:
        """Changes with every step and whatever else is said."""
        return self.step, self._said["progress"], self._said["status"]

    def beat(self) -> None:
        """Never raises: trouble with the store is a warning, once until it is over."""
        with self._beating:
            try:
                self._write()
                self._trouble.over()
            except Exception as error:
                self._trouble.told(f"{self._uri} cannot be written and is tried again: {error}", stacklevel=2)

    def close(self) -> None:
        """No more of them. What was said since the last one is written, unless the store is away."""
        self._closing.set()
        if self._unsaid and not self._trouble.lasts and not self._beating.locked():
            self.beat()

    def _run(self) -> None:
        pause = FIRST
        while not self._closing.wait(pause):
            self.beat()
            pause = EVERY

    def _write(self) -> None:
        if not self._newest():
            return
        self._unsaid = False
        step = None if self.step is None else int(self.step)
        content = {"v": protocol.VERSION, "attempt": self._attempt, "t": round(time.time(), 3), "step": step}
        self._vault.write(self._uri, json.dumps({**content, **self._said}).encode())
