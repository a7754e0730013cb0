"""Workers of the tests are real processes, and SIGKILL ends them where it was asked for."""

from __future__ import annotations

import pytest
from installation import TaskKey
from workers import Theatre

DAG_FILE = """
from airflow.sdk import DAG, task

with DAG("plain", schedule=None) as dag:

    @task
    def note(ti=None):
        with open({notes!r}, "a") as out:
            print("try", ti.try_number, file=out)
        return ti.try_number

    note()
"""


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


@pytest.fixture
def theatre(tmp_path, notes):
    dag_file = tmp_path / "plain.py"
    dag_file.write_text(DAG_FILE.format(notes=str(notes)))
    theatre = Theatre(dag_file, TaskKey("plain", "note", "run_1"), tmp_path)
    theatre.open({})
    return theatre


def test_crossings_have_names(theatre):
    assert theatre.play().state == "success"
    assert theatre.legs == ["start"]
    assert theatre.crossings == [
        "start before PATCH run",
        "start after PATCH run",
        "start before PUT rendered-fields",
        "start after PUT rendered-fields",
        "start before POST xcom return_value",
        "start after POST xcom return_value",
        "start before PATCH state success",
        "start after PATCH state success",
    ]


@pytest.mark.parametrize(
    ("kill_at", "legs", "tries", "value"),
    [
        ("start before PATCH run", ["start!", "start"], ["try 2"], 2),
        ("start after POST xcom return_value", ["start!", "start"], ["try 1", "try 2"], 2),
        ("start after PATCH state success", ["start!"], ["try 1"], 1),
    ],
)
def test_a_killed_worker_leaves_what_the_server_had_committed(theatre, notes, kill_at, legs, tries, value):
    assert theatre.play(kill_at).state == "success"
    assert theatre.legs == legs
    assert notes.read_text().splitlines() == tries
    assert theatre.db.xcom(theatre.key) == value


def test_a_killed_worker_without_retries_left_fails_the_task(theatre):
    theatre.open({}, retries=0)

    assert theatre.play("start before PATCH state success").state == "failed"
