"""At most so many jobs of one root at once, first come first served, without anybody who serves.

A slot and a place in the line are locked files: they come free with their owner, however it ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from .files import held, lock

SLOTS = ".slots"
QUEUE = ".queue"


class Queue:
    """The slots of one root, given to waiting jobs in the order of their creation."""

    def __init__(self, root: Path, slots: int | None, ticket: str) -> None:
        self.slots = slots
        self.folder = root / SLOTS
        self.line = root / QUEUE
        self.ticket = ticket
        self.held: int | None = None
        if slots is not None:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.line.mkdir(mode=0o700, exist_ok=True)
            hidden = self.line / f".{ticket}"
            self.held = lock(hidden)
            hidden.replace(self.line / ticket)

    def take(self) -> bool:
        """True once this job may run; it keeps its slot until its node ends."""
        if self.slots is None:
            return True
        if self.somebody_before():
            return False
        for number in range(self.slots):
            slot = lock(self.folder / str(number))
            if slot is not None:
                self.leave()
                self.held = slot
                return True
        return False

    def somebody_before(self) -> bool:
        for ticket in sorted(path.name for path in self.line.iterdir()):
            if ticket >= self.ticket:
                return False
            if ticket.startswith("."):
                continue
            if held(self.line / ticket):
                return True
            (self.line / ticket).unlink(missing_ok=True)
        return False

    def leave(self) -> None:
        """Give back the ticket or the slot."""
        (self.line / self.ticket).unlink(missing_ok=True)
        if self.held is not None:
            os.close(self.held)
            self.held = None
