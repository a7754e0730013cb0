"""The demo's figures come from the files of an output directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demo.trial import Trial, resumed_at


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    records = tmp_path / ".kinetic" / "attempts"
    records.mkdir(parents=True)
    (records / "0001.json").write_text(json.dumps({"attempt": 1, "parent": None}))
    (records / "0001.end.json").write_text(json.dumps({"state": "PREEMPTED"}))
    checkpoint = {"step": 500, "uri": "file:///somewhere/checkpoints/500"}
    (records / "0002.json").write_text(json.dumps({"attempt": 2, "parent": {"attempt": 1, "checkpoint": checkpoint}}))
    for name in ("500", "1000.orbax-checkpoint-tmp", "0"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "from-000000.jsonl").write_text('{"step": 550}\n{"step": 600}\n{"ste')
    return Trial(tmp_path)


def test_attempts_are_the_starts_in_order_without_the_end_records(trial: Trial) -> None:
    assert [attempt["attempt"] for attempt in trial.attempts()] == [1, 2]
    assert [resumed_at(attempt) for attempt in trial.attempts()] == [0, 500]


def test_a_checkpoint_that_is_being_written_does_not_count(trial: Trial) -> None:
    assert trial.committed() == 500


def test_a_cut_off_line_of_metrics_is_left_out(trial: Trial) -> None:
    assert trial.reached(0) == 600
    assert trial.reached(500) == 500, "the second attempt has reported nothing yet"


def test_an_output_directory_may_be_given_as_uri(tmp_path: Path) -> None:
    assert Trial.of("file:///a%20b/c") == Trial.of("/a b/c")
    assert Trial.of(str(tmp_path)).attempts() == []
