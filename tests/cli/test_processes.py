"""The commands as a shell sees them: real processes of Airflow's own command line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_kinetic.cli.definitions import duration


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "airflow", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_airflow_knows_the_commands_and_scripts_can_read_them(desk: Any) -> None:
    handle = desk.submit_and_end("add", 1, 2)
    processes = [start("kinetic", "--help"), start("kinetic", "jobs", "list", "--output", "json")]
    (help_text, _), (listing, noise) = [process.communicate(timeout=90) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], noise
    assert "jobs" in help_text
    assert "gc" in help_text
    assert [row["job_id"] for row in json.loads(listing)] == [handle.job_id]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["7", "week", "-1d", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 30m"):
        duration(text)
