"""The commands as a shell sees them: real processes of Airflow's own command line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_kinetic.cli.definitions import duration


def test_airflow_knows_the_commands(parser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["kinetic", "--help"])
    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    assert "jobs" in help_text
    assert "checkpoints" in help_text
    assert "metrics" in help_text
    assert "gc" in help_text


def test_a_script_reads_the_list(desk: Any) -> None:
    handle = desk.submit_and_end("add", 1, 2)
    command = [sys.executable, "-m", "airflow", "kinetic", "jobs", "list", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert [row["job_id"] for row in json.loads(done.stdout)] == [handle.job_id]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["7", "week", "-1d", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 30m"):
        duration(text)
