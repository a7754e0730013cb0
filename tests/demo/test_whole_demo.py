"""What `make demo` promises, in a real Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PROJECT = Path(__file__).resolve().parents[2]


def demo(state: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "demo.run", "--state", str(state), *options]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def processes_below(folder: Path) -> list[str]:
    """Command lines of the processes whose environment or arguments name the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            about = [*process.cmdline(), process.environ().get("AIRFLOW_HOME", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in text for text in about):
            found.append(" ".join(process.cmdline()))
    return found


@pytest.mark.live
@pytest.mark.timeout(600)
def test_the_demo_keeps_its_promises_and_leaves_nothing_running(tmp_path: Path) -> None:
    process = demo(tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    table = dict(line.strip().split("  ", 1) for line in output.splitlines() if line.startswith("  "))
    assert table["Airflow try"].strip() == "1"
    assert table["attempts"].strip() == "2"
    assert processes_below(tmp_path) == []


@pytest.mark.live
@pytest.mark.timeout(300)
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    process = demo(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "is triggered" in line:
            break
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert processes_below(tmp_path) == []
