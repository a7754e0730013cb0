"""Tables for people and stable keys for scripts, in the looks of Airflow's own commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pendulum
from airflow.cli.simple_table import AirflowConsole
from rich.markup import escape

Row = dict[str, Any]
FOR_PEOPLE = ("table", "plain")


def show(rows: Sequence[Row], output: str, columns: Mapping[str, Callable[[Row], Any]]) -> None:
    """A list: for people the ``columns``, for scripts the rows themselves, with numbers as numbers."""
    if output in FOR_PEOPLE:
        _print([{title: _text(cell(row)) for title, cell in columns.items()} for row in rows], output)
    else:
        _print(list(rows), output)


def show_one(row: Row, output: str, wording: Mapping[str, Callable[[Row], Any]]) -> None:
    """One thing: for people a line for everything that is known, for scripts one object."""
    if output in FOR_PEOPLE:
        worded = {**row, **{key: word(row) for key, word in wording.items()}}
        known = {key: value for key, value in worded.items() if value not in (None, "", False)}
        lines = [{"property_name": key, "property_value": _text(value)} for key, value in known.items()]
        _print(lines, output)
    else:
        _print(row, output)


def _print(data: Any, output: str) -> None:
    console = AirflowConsole()
    if output == "table":
        console.print_as_table([{key: escape(value) for key, value in row.items()} for row in data])
    elif output == "plain":
        console.print_as_plain_table(data)
    elif output == "yaml":
        console.print_as_yaml(data)
    else:
        console.print_as_json(data)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def timestamp(seconds: float | None) -> str | None:
    """ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def ago(moment: str | None) -> str | None:
    """``3 minutes ago`` for a time in ISO 8601."""
    return None if moment is None else pendulum.instance(datetime.fromisoformat(moment)).diff_for_humans()


def size(count: int | None) -> str | None:
    """``1.5 GiB``."""
    if count is None:
        return None
    amount, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} bytes" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"


def span(seconds: float | None) -> str | None:
    """``1.5 seconds``, ``3 minutes 5 seconds``."""
    if seconds is None:
        return None
    return f"{seconds:.1f} seconds" if seconds < 10 else pendulum.duration(seconds=round(seconds)).in_words()
