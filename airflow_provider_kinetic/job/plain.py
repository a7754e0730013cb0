"""Which values JSON keeps as they are. The runner says it of a result, the worker asks it again before XCom."""

from __future__ import annotations

import math


def plain(value: object) -> bool:
    """Text keys, no foreign type, no NaN or infinity, at any depth. A value that contains itself is not plain."""
    try:
        return _plain(value)
    except RecursionError:
        return False


def _plain(value: object) -> bool:
    if type(value) in (list, tuple):
        return all(map(_plain, value))  # type: ignore[call-overload]
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_plain, value.values()))
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, bool, int)
