"""What a moved script asks for and there is not: it says so, and what to use instead."""

from __future__ import annotations

import warnings

_said: set[str] = set()


def warn_once(text: str) -> None:
    """A warning, the first time in this process: training loops ask the same thing every step."""
    if text not in _said:
        _said.add(text)
        warnings.warn(text, stacklevel=4)


def absent(name: str, instead: str) -> NotImplementedError:
    """To be raised."""
    return NotImplementedError(f"core_v2: {name} has no meaning in a Kinetic job. {instead}")
