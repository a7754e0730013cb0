"""Values of training code as JSON has them: scalars of arrays become numbers, NaN and infinities their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def as_json(value: Any) -> Any:
    """Strict JSON for plain values, lists and mappings of them, and whatever has ``.item()``.

    :raises TypeError: anything else.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if callable(getattr(value, "item", None)):
        return as_json(value.item())
    raise TypeError(f"{type(value).__name__} is not a number, text, list or mapping: {value!r:.80}")


def as_number(value: Any) -> float | None:
    """Back from JSON; None for what is no number."""
    if isinstance(value, str):
        return _WORDS.get(value)
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # an int has no largest value
        return math.inf if value > 0 else -math.inf


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
