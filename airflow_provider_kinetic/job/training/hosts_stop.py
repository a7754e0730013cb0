"""One step at which all processes leave, agreed through the store (``checkpointing`` 3.8).

Only some machine hears that it must go, and whoever leaves alone leaves the others in a collective that never ends. So
the leader proposes a step a little ahead, and every process promises to leave there, unless it has passed it already.
Promises never change, so all of them, read by anybody, give one answer: everybody has promised, and all leave at that
step; or somebody could not, nobody leaves, and the leader proposes a later one. A process waits only at the proposed
step and only for promises that are still on their way. The store is asked by a thread, every two seconds, from the
first question on. That a newer attempt has begun, each machine learns at its own time; they leave when the leader has.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectExists
from airflow_provider_kinetic.job.training.checkpoints import read_record
from airflow_provider_kinetic.job.training.hosts import Group, patience
from airflow_provider_kinetic.job.training.saving import Fence
from airflow_provider_kinetic.job.training.trouble import Trouble
from airflow_provider_kinetic.job.vaults import Vault

EVERY = 2.0
"""Seconds between two looks while nobody must go."""
SOON = 0.1
"""So much of it while promises are on their way."""
AHEAD = 1.5
"""So many times as long are the steps that a proposal is ahead: then all have seen it in time."""


class Proposal(NamedTuple):
    number: int
    step: int


class Agreement:
    """Of one process with the others.

    :param heard: whether this machine must go.
    :param fence: of this attempt; the heartbeat asks it, for processes that do not save.
    :param every: seconds between two looks.
    """

    def __init__(
        self,
        vault: Vault,
        layout: TrialLayout,
        group: Group,
        heard: Callable[[], bool],
        fence: Fence,
        every: float = EVERY,
    ) -> None:
        self._every = every
        self._vault = vault
        self._layout = layout
        self._group = group
        self._heard = heard
        self._fence = fence
        self._step = -1
        """The last one that was asked about."""
        self._known: tuple[float, int] | None = None
        """When the thread last looked at the step, and what it was."""
        self._proposal: Proposal | None = None
        """The one that is open."""
        self._promised = False
        self._rounds = 0
        """So many proposals are settled."""
        self._stop_at: int | None = None
        """What all have promised."""
        self._noticed = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = Trouble()

    def reached(self, step: int | None) -> bool:
        """Whether all leave at this step. Every process asks at the same steps.

        :raises ValueError: no step was given.
        """
        if step is None:
            raise ValueError("of several processes each says its step: t.stopping(step)")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kinetic-agreement", daemon=True)
            self._thread.start()
        with self._changed:
            self._step = step
            proposal = self._proposal
            if proposal is not None and self._promised and step >= proposal.step:
                settled = self._changed.wait_for(lambda: self._proposal != proposal, patience())
                if not settled:
                    return True  # who is silent for so long does not come any more
            return self._stop_at is not None and step >= self._stop_at

    def close(self) -> None:
        self._closing.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause) and self._stop_at is None:
            try:
                self._look()
                self._trouble.over()
            except Exception as error:
                self._trouble.told(f"Whether to stop cannot be asked and is tried again: {error}")
            pause = self._every * (SOON if self._proposal else 1)

    def _look(self) -> None:
        if self._heard() and not self._noticed:
            self._create(self._layout.stop_notice(self._group.attempt, self._group.host.process), {})
            self._noticed = True
        if self._proposal is None:
            self._find()
        if self._proposal is not None:
            self._settle(self._proposal)

    def _find(self) -> None:
        """A proposal, ours if we lead, and promise it."""
        uri = f"{self._stem(self._rounds + 1)}.json"
        pace = self._pace()
        if self._group.host.leads:
            if not self._wanted():
                return
            self._create(uri, {"step": self._step + 1 + int(pace * self._every * AHEAD * 2**self._rounds)})
        record = read_record(self._vault, uri)
        if record is None:
            return
        proposal = Proposal(self._rounds + 1, int(record["step"]))
        with self._changed:
            self._promised = self._step < proposal.step
            self._proposal = proposal
        self._promise()

    def _wanted(self) -> bool:
        """Somebody must go, or all of them."""
        told = self._noticed or self._fence.fallen
        return told or bool(self._vault.list(self._layout.stop_notices(self._group.attempt)))

    def _promise(self) -> None:
        assert self._proposal is not None
        word = "yes" if self._promised else "no"
        self._create(f"{self._stem(self._proposal.number)}-{word}-p{self._group.host.process:04d}.json", {})

    def _settle(self, proposal: Proposal) -> None:
        """When all have spoken."""
        stem = self._stem(proposal.number)
        said = [uri[len(stem) + 1 :].partition("-")[0] for uri in self._vault.list(f"{stem}-")]
        if len(said) < self._group.host.processes:
            self._promise()  # it is there already, unless the store was away
            return
        with self._changed:
            self._rounds = proposal.number
            self._stop_at = None if "no" in said else proposal.step
            self._proposal = None
            self._changed.notify_all()

    def _pace(self) -> float:
        """Steps a second since the last look."""
        now, step, known = time.monotonic(), self._step, self._known
        self._known = now, step
        return max(0.0, (step - known[1]) / (now - known[0])) if known and now > known[0] else 0.0

    def _stem(self, number: int) -> str:
        return f"{self._group.folder}stop-{number:02d}"

    def _create(self, uri: str, content: dict[str, object]) -> None:
        with contextlib.suppress(ObjectExists):
            self._vault.write(uri, json.dumps({"v": protocol.VERSION, **content}).encode(), if_absent=True)
