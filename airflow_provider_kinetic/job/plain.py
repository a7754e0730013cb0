"""Which values XCom keeps as they are. The runner says it of a result, the worker asks it again before XCom.

They are JSON's, and checkpoints: those of the job become the value that tasks hand on, wherever in a result they are.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint


def plain(value: object) -> bool:
    """Text keys, no foreign type, no NaN or infinity, at any depth. A value that contains itself is not plain."""
    try:
        return _plain(value)
    except RecursionError:
        return False


def handed_on(value: Any) -> Any:
    """The same with a :class:`KineticCheckpoint` for every ``job.Checkpoint`` in it, in lists, tuples and dicts too."""
    if f"{__package__}.training.trials" not in sys.modules:  # nothing has given it any
        return value
    kind = sys.modules[f"{__package__}.training.checkpoints"].Checkpoint
    try:
        return _handed_on(value, kind) if _holds(value, kind) else value
    except RecursionError:
        return value


def in_json(value: Any) -> Any:
    """``default`` of ``json.dumps``. Raises TypeError for what is neither JSON's nor a checkpoint."""
    if isinstance(value, KineticCheckpoint):
        return value.serialize()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _plain(value: object) -> bool:
    if type(value) in (list, tuple):
        return all(map(_plain, value))  # type: ignore[call-overload]
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_plain, value.values()))
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, bool, int, KineticCheckpoint)


def _holds(value: Any, kind: type) -> bool:
    if type(value) is dict:
        return any(_holds(each, kind) for each in value.values())
    if type(value) in (list, tuple):
        return any(_holds(each, kind) for each in value)
    return isinstance(value, kind)


def _handed_on(value: Any, kind: type) -> Any:
    if isinstance(value, kind):
        return KineticCheckpoint.of(value)
    if type(value) is dict:
        return {key: _handed_on(each, kind) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_handed_on(each, kind) for each in value)
    return value
