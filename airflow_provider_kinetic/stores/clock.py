"""What time it is for a service, from its own answers.

How old an object is must not depend on the clock of whoever asks (``checkpointing`` 3.11): the service stamps objects
and answers with one clock, so that one is compared with itself.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any


class ServerClock:
    """Hears the ``Date`` of every answer, which has whole seconds."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        """Of this process's monotonic clock."""

    @property
    def known(self) -> bool:
        return self._ahead is not None

    def hear(self, answer: Any, **_: object) -> None:
        """A hook of ``requests`` for answers."""
        try:
            self._ahead = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.monotonic()
        except (KeyError, ValueError, TypeError):  # a proxy without a clock
            return

    def now(self) -> float:
        """Unix seconds; by this machine's clock where no answer had a date."""
        return time.time() if self._ahead is None else self._ahead + time.monotonic()
