"""Runs in the environment of upstream's client and does what it is told, one JSON line at a time.

Values come back as their ``repr``, whatever is printed meanwhile beside them. It is started with the folder of the
user's code, whose module ``functions`` holds the functions of jobs.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from dataclasses import asdict
from enum import Enum
from typing import Any

import kinetic


def submit(function: str, args: list[Any], run: dict[str, Any]) -> str:
    given = getattr(importlib.import_module("functions"), function)
    return str(kinetic.run(**run)(given).run_async(*args).job_id)


def attach(job_id: str) -> dict[str, Any]:
    return asdict(kinetic.attach(job_id))


def handle(job_id: str, method: str, kwargs: dict[str, Any]) -> Any:
    return getattr(kinetic.attach(job_id), method)(**kwargs)


def list_jobs() -> list[str]:
    return [each.job_id for each in kinetic.list_jobs()]


def cli(words: list[str]) -> int:
    from kinetic.cli.main import cli as command_line

    try:
        command_line(args=words, prog_name="kinetic")
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("click ends with SystemExit")


ORDERS = {each.__name__: each for each in (submit, attach, handle, list_jobs, cli)}


def with_data(pairs: dict[str, Any]) -> Any:
    """JSON has no ``Data``: ``{"kinetic.Data": {"path": …}}`` stands for one, wherever it lies."""
    return kinetic.Data(**pairs["kinetic.Data"]) if "kinetic.Data" in pairs else pairs


def obey(order: dict[str, Any]) -> dict[str, Any]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            value = ORDERS[order.pop("do")](**order)
        except BaseException as error:
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            told = {"kind": kind, "text": str(error), "notes": getattr(error, "__notes__", [])}
            return {"error": told, "printed": printed.getvalue()}
    shown = repr(value.value) if isinstance(value, Enum) else repr(value)
    return {"value": shown, "printed": printed.getvalue()}


if __name__ == "__main__":
    channel = sys.stdout
    sys.path.insert(0, sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line, object_hook=with_data))), file=channel, flush=True)
