"""Rows one by one, for those who have no room for all: the same story as all at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.lineage import Lineage
from airflow_provider_kinetic.job.training.series import Row, followed, told
from airflow_provider_kinetic.job.vaults import FileVault

ROWS = st.lists(
    st.builds(
        Row,
        st.just(1.0),
        st.integers(0, 8),
        st.sampled_from(["train", "validation"]),
        st.dictionaries(st.sampled_from("ab"), st.integers(0, 99), min_size=1),
    ),
    max_size=8,
)


@given(st.lists(st.tuples(st.none() | st.integers(0, 8), ROWS), min_size=1, max_size=5))
def test_it_is_the_same_story(lives):
    starts, rows, written = {}, {}, {}
    for attempt, (step, logged) in enumerate(lives, 1):
        checkpoint = None if step is None else {"step": step, "uri": ""}
        parent = {"attempt": attempt - 1, "checkpoint": checkpoint} if attempt > 1 else None
        starts[attempt] = {"attempt": attempt, "parent": parent}
        rows[attempt] = [row._replace(attempt=attempt) for row in logged]
        cut = len(logged) // 2
        written[attempt] = [b"".join(row.encode() for row in part) for part in (logged[:cut], logged[cut:])]
    lineage = Lineage.of(starts)
    once = {}
    for row in followed(lineage, written):
        before = once.get((row.group, row.step))
        once[row.group, row.step] = {**before, **row.values} if before else row.values
    assert once == {(row.group, row.step): row.values for row in told(lineage, rows)}


CHILD = r"""
import re, sys
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial

def peak():
    return int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]) // 1024

trial = Trial(sys.argv[1], Keep())
with trial.restore() as found:
    assert found is None
before = peak()
trial.log({"loss": 1.0}, step=100_001)
trial._metrics.flush()
trial._metrics.summarize()
print(before, peak(), trial._metrics._summary.to_dict()["series"]["train/loss"]["count"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much memory a process had at most")
def test_a_long_history_does_not_fill_the_memory(tmp_path):
    """100,000 rows, 7 MB of them: the process stays below the 50 MB that all of this may cost."""
    vault, layout = FileVault(), TrialLayout(path_to_uri(tmp_path / "out"))
    vault.write(f"{layout.checkpoints}/100000/of_orbax", b"")
    vault.write(layout.attempt(1), b'{"v": 1, "attempt": 1, "parent": null}')
    lines = [Row(1.7e9 + step, step, "train", {"loss": 1 / step}).encode() for step in range(1, 100_001)]
    for number in range(0, len(lines), 3_500):
        vault.write(layout.segment(1, number // 3_500 + 1), b"".join(lines[number : number + 3_500]))
    root = Path(__file__).parent.parent.parent
    environ = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-S", "-c", CHILD, layout.output_dir]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=100)
    before, after, count = map(int, done.stdout.split())
    assert count == 100_001
    assert after < 40, f"{after} MB, {before} before"
