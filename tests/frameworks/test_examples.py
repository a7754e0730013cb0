"""The examples of Keras and PyTorch as scripts: whatever ends one, the next start goes on from the last checkpoint."""

from __future__ import annotations

import json
import re
import signal

import pytest
from frameworks import EXAMPLES

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.job.vaults import FileVault

SIGNALS = [signal.SIGTERM, signal.SIGKILL]


def interrupted(script, example, amount, until, number):
    """The last save that it told of, and its exit code."""
    first = script(EXAMPLES / example, amount)
    first.wait_for(f"saved {until}")
    code = first.end(number)
    return int(re.findall(r"^saved (\d+)$", first.output, re.MULTILINE)[-1]), code


def continued(script, tmp_path, example, amount):
    """Where it went on; its rows by step."""
    second = script(EXAMPLES / example, amount)
    assert second.end() == 0, second.output
    begun = int(re.search(r"^goes on after \w+ (\d+)$", second.output, re.MULTILINE)[1])
    uri = path_to_uri(tmp_path / "kinetic-output")
    rows = read_rows(FileVault(), TrialLayout(uri))
    assert all(row.group == "train" for row in rows)
    states = {path.name: json.loads(path.read_text())["state"] for path in tmp_path.rglob("attempts/*.end.json")}
    assert states["0002.end.json"] == "COMPLETED"
    return begun, {row.step: row.values["loss"] for row in rows}, [row.step for row in rows], states


def check(number, code, saved, begun, states, every):
    if number == signal.SIGTERM:
        assert code == 143
        assert begun == saved
        assert states["0001.end.json"] == "PREEMPTED"
    else:
        assert code == -signal.SIGKILL
        assert begun in (saved, saved + every)
        assert "0001.end.json" not in states


@pytest.mark.parametrize("number", SIGNALS)
def test_keras(script, tmp_path, number):
    saved, code = interrupted(script, "keras_checkpoint.py", "1000", 10, number)
    begun, losses, steps, states = continued(script, tmp_path, "keras_checkpoint.py", str(saved + 10))
    check(number, code, saved, begun, states, every=5)
    assert steps == list(range(1, saved + 11))
    assert losses[begun + 1] < losses[1] / 2


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.usefixtures("torch")
def test_torch(script, tmp_path, number):
    saved, code = interrupted(script, "torch_checkpoint.py", "1000000", 1000, number)
    begun, losses, steps, states = continued(script, tmp_path, "torch_checkpoint.py", str(saved + 600))
    check(number, code, saved, begun, states, every=500)
    assert steps == list(range(50, saved + 601, 50))
    assert losses[steps[-1]] < losses[50] / 2


def test_without_torch_one_line_is_all(script):
    started = script(
        "-c",
        f"import sys, runpy; sys.modules['torch'] = None; sys.argv[1:] = ['5']; "
        f"runpy.run_path({str(EXAMPLES / 'torch_checkpoint.py')!r}, run_name='__main__')",
    )
    assert started.end() == 0, started.output
    assert started.output.splitlines() == ["torch is not installed, so there is nothing to train"]
