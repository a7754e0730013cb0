"""Trouble that a training bears: it is told once and not at each of the tries that follow."""

from __future__ import annotations

import contextlib
import warnings


class Trouble:
    """Of one kind, for threads that go on whatever happens."""

    def __init__(self) -> None:
        self.lasts = False

    def told(self, text: str, stacklevel: int = 1) -> None:
        """Warn, unless that was done since it began. Never raises, also where warnings are errors."""
        lasts, self.lasts = self.lasts, True
        if not lasts:
            with contextlib.suppress(Warning):
                warnings.warn(text, stacklevel=stacklevel + 1)

    def over(self) -> None:
        """The next one is told again."""
        self.lasts = False
