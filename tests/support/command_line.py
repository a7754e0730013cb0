"""``airflow kinetic …`` through Airflow's own parser, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

CommandLine = Callable[..., str]


def command_line(parser: Any, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """``run("jobs", "list")`` gives what stands on stdout; ``code`` is the exit code that is due."""

    def run(*words: str, code: int = 0) -> str:
        args = parser.parse_args(["kinetic", *words])
        capsys.readouterr()
        ended = 0
        try:
            args.func(args)
        except SystemExit as exit:
            ended = int(exit.code or 0)
        out, err = capsys.readouterr()
        sys.stderr.write(err)
        assert ended == code, f"{words} ended with {ended}\n{out}\n{err}"
        return out

    return run
