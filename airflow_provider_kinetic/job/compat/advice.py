"""What a moved script asks for and there is not: it says so, and what to use instead."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

_said: set[str] = set()


def warn_once(text: str) -> None:
    """A warning, the first time in this process: training loops ask the same thing every step."""
    if text not in _said:
        _said.add(text)
        warnings.warn(text, stacklevel=4)


class Absent(NotImplementedError, AttributeError):
    """``hasattr`` says no."""


def absent(name: str, instead: str) -> Absent:
    """To be raised."""
    return Absent(f"core_v2: {name} has no meaning in a Kinetic job. {instead}")


class Partial:
    """A part of Determined's context, without all of its names."""

    _called: ClassVar[str]
    """By scripts."""
    _instead: ClassVar[Mapping[str, str]] = {}
    """What to use where there is no such name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        there = ", ".join(each for each in dir(self) if not each.startswith("_"))
        raise absent(f"{self._called}.{name}", self._instead.get(name, f"There is: {there}."))
