"""What goes into XCom: the value itself when it is small and JSON, else a reference to it."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_kinetic.job.plain import in_json, plain
from airflow_provider_kinetic.model.errors import ResultError, ResultTooLarge


def small(value: Any, limit: int) -> bool:
    """Whether the value's JSON fits into ``limit`` bytes."""
    return len(json.dumps(value, default=in_json).encode()) <= limit


def check_multiple_outputs(value: Any, limit: int) -> None:
    """:raises ResultError: ``multiple_outputs`` was asked for and the value cannot be taken apart in XCom."""
    if type(value) is not dict or not plain(value):
        raise ResultError(
            f"`multiple_outputs` needs a dict of plain values under texts; the function returned {_unfit(value)}.",
            advice="Return such a dict, or pass `multiple_outputs=False` and use load_result() downstream.",
        )
    if not small(value, limit):
        raise ResultTooLarge(
            f"The value is larger than the {limit} bytes that XCom takes, and `multiple_outputs` forbids a reference.",
            advice="Raise [kinetic] xcom_max_bytes, return less, or leave `multiple_outputs` out.",
        )


def _unfit(value: Any) -> str:
    if type(value) is not dict:
        return type(value).__name__
    key = next(key for key in value if type(key) is not str or not plain(value[key]))
    return f"the key {key!r}" if type(key) is not str else f"{type(value[key]).__name__} under {key!r}"
