"""Processes that take each other's place: many that start at once, and one that was stopped and goes on too late."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
from trainings import check, told

STARTERS = 16
AT_ONCE = """
import pathlib, sys, time
sys.stdout.write("ready\\n"); sys.stdout.flush()
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.002)
import killed_training
from airflow_provider_kinetic.job.training.trials import Trial
with Trial(sys.argv[1], killed_training.KEEP) as trial:
    print("attempt", trial.attempt, flush=True)
sys.exit()
"""


@pytest.mark.kills
def test_sixteen_processes_that_start_at_once_have_sixteen_numbers(place, training, tmp_path):
    """All have imported what they need before the first one may go."""
    gate = tmp_path / "gate"
    starters = [training(before=f"import killed_training\n{AT_ONCE.format(gate=str(gate))}") for _ in range(STARTERS)]
    assert {each.stdout.readline() for each in starters} == {"ready\n"}
    gate.touch()
    numbers = [told(each.communicate()[0], "attempt") for each in starters]
    assert [each.returncode for each in starters] == [0] * STARTERS
    assert sorted(numbers) == list(range(1, STARTERS + 1))
    records = {number: json.loads(place.vault.read(place.layout.attempt(number))) for number in numbers}
    assert {number: record["pid"] for number, record in records.items()} == {
        number: each.pid for number, each in zip(numbers, starters, strict=True)
    }
    assert [records[number]["parent"]["attempt"] for number in range(2, STARTERS + 1)] == list(range(1, STARTERS))
    check(place, 0)


def committed(place):
    return {name.rpartition("/")[2][: -len(".json")] for name in place.names(".kinetic/checkpoints/")}


@pytest.mark.kills
@pytest.mark.parametrize(
    ("point", "nth"), [("write commit", 5), ("send file", 8), ("write segment", 3), ("delete commit", 2)]
)
def test_a_process_that_was_stopped_and_goes_on_too_late(place, training, point, nth):
    """As on a machine that was suspended. Its fence held when it looked; its successor trains while it goes on."""
    zombie = training(point, nth, "before", "SIGSTOP")
    assert os.WIFSTOPPED(os.waitpid(zombie.pid, os.WUNTRACED)[1])
    begun = committed(place)
    successor = training()
    said = [successor.stdout.readline() for _ in range(5)]
    zombie.send_signal(signal.SIGCONT)
    late, _ = zombie.communicate()
    assert zombie.returncode == 143
    assert re.search(r"^superseded: Attempt 1 of .* is not the newest any more", late, re.MULTILINE)
    said.append(successor.communicate()[0])
    assert successor.returncode == 0
    end = json.loads(place.vault.read(place.layout.attempt_end(1)))
    assert end["state"] == "PREEMPTED"
    assert "is not the newest any more" in end["reason"]
    assert json.loads(place.vault.read(place.layout.summary))["attempt"] == 2
    aside = {name for name in committed(place) - begun if "-a0001-" in name}
    assert len(aside) <= 1
    assert aside or point != "write commit"
    check(place, told("".join(said), "committed"), aside)


@pytest.mark.kills
def test_a_summary_that_is_written_too_late_is_taken_back(place, training):
    """Its successor has ended, so nobody else would correct it."""
    zombie = training("write summary", 1, "before", "SIGSTOP")
    assert os.WIFSTOPPED(os.waitpid(zombie.pid, os.WUNTRACED)[1])
    whole = training().communicate()[0]
    zombie.send_signal(signal.SIGCONT)
    zombie.communicate()
    assert ".kinetic/summary.json" not in place.names()
    check(place, told(whole, "committed"))
