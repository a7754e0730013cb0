"""What people and scripts see of jobs, and what they can do with them."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest
import yaml
from project import until

from airflow_provider_kinetic.model.status import JobState


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_the_list_is_for_people_and_for_scripts(desk: Any) -> None:
    add = desk.submit_and_end("add", 1, 2)
    wait = desk.submit_and_start(task_id="each", map_index=3)

    rows = json.loads(desk.run("jobs", "list", "--output", "json"))

    assert [row["job_id"] for row in rows] == [wait.job_id, add.job_id]
    first, second = rows
    assert (first["state"], first["attempts"], first["task_id"], first["map_index"]) == ("RUNNING", 1, "each", 3)
    assert (second["state"], second["exit_code"], second["function"]) == ("SUCCEEDED", 0, "add")
    assert second["started_at"].endswith("+00:00")
    assert yaml.safe_load(desk.run("jobs", "list", "--output", "yaml"))[1]["job_id"] == add.job_id
    table = desk.run("jobs", "list")
    assert "each[3]" in table
    assert "seconds ago" in table
    assert table.splitlines()[0].split()[:2] == ["job", "|"]
    assert desk.run("jobs", "list", "--output", "plain").splitlines()[1].startswith(wait.job_id)


def test_the_list_is_of_one_namespace(desk: Any) -> None:
    desk.submit_and_end("add", 1, 2)
    assert json.loads(desk.run("jobs", "list", "--namespace", "elsewhere", "-o", "json")) == []
    assert "No data found" in desk.run("jobs", "list", "--namespace", "elsewhere")


def test_a_job_without_a_handle_is_still_listed(desk: Any) -> None:
    handle = desk.submit_and_end("add", 1, 2)
    for path in desk.platform.rglob("handle.json"):
        path.unlink()
    (row,) = json.loads(desk.run("jobs", "list", "-o", "json"))
    assert (row["job_id"], row["dag_id"], row["function"]) == (handle.job_id, "etl", None)


def test_status_says_what_a_person_needs(desk: Any) -> None:
    handle = desk.submit_and_end("add", 1, 2)

    row = json.loads(desk.run("jobs", "status", handle.job_id, "-o", "json"))
    table = desk.run("jobs", "status", handle.k8s_name)

    assert {"state": "SUCCEEDED", "exit_code": 0, "attempts": 1, "preemptions": 0}.items() <= row.items()
    assert row["output_dir"] == handle.output_dir
    assert row["result_uri"] == handle.result_uri
    assert row["logs"] == handle.logs
    assert "SUCCEEDED" in table
    assert "seconds ago" in table
    assert "map_index" not in table


def test_what_a_clean_up_leaves_is_still_shown(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_end("add", 1, 2)

    desk.run("jobs", "cleanup", handle.job_id)
    assert "object and artifacts removed" in said(capsys)
    desk.run("jobs", "cleanup", handle.job_id)

    assert json.loads(desk.run("jobs", "list", "-o", "json")) == []
    row = json.loads(desk.run("jobs", "status", handle.job_id, "-o", "json"))
    assert (row["state"], row["attempts"]) == ("SUCCEEDED", 1)
    assert json.loads(desk.run("jobs", "result", handle.job_id)) == {"sum": 3}
    assert "adding 1 and 2" in desk.run("jobs", "logs", handle.job_id)


def test_halves_of_a_clean_up(desk: Any) -> None:
    handle = desk.submit_and_end("add", 1, 2)
    desk.run("jobs", "cleanup", handle.job_id, "--no-artifacts")
    assert json.loads(desk.run("jobs", "list", "-o", "json")) == []
    assert list(desk.platform.rglob("payload.pkl"))
    desk.run("jobs", "cleanup", handle.job_id, "--no-k8s")
    assert not list(desk.platform.rglob("payload.pkl"))


def test_a_running_job_is_cleaned_up_by_force_only(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_start()

    desk.run("jobs", "cleanup", handle.job_id, code=1)
    assert "--force" in said(capsys)
    assert desk.state(handle) is JobState.RUNNING

    desk.run("jobs", "cleanup", handle.job_id, "--force")
    row = json.loads(desk.run("jobs", "status", handle.job_id, "-o", "json"))
    assert (row["state"], row["reason"]) == ("NOT_FOUND", "Cancelled")
    assert "on the command line" in row["message"]


def test_cancel_waits_for_the_end(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_start()

    desk.run("jobs", "cancel", handle.job_id)
    assert "has ended" in said(capsys)
    desk.run("jobs", "cancel", handle.job_id)
    assert "nothing to cancel" in said(capsys)

    row = json.loads(desk.run("jobs", "status", handle.job_id, "-o", "json"))
    assert (row["state"], row["reason"]) == ("NOT_FOUND", "Cancelled")
    desk.run("jobs", "result", handle.job_id, code=1)
    assert f"Error: Job {handle.job_id} was cancelled." in said(capsys)


def test_a_finished_job_is_not_cancelled(desk: Any) -> None:
    """Its object and its result are what a retry of the task needs."""
    handle = desk.submit_and_end("add", 1, 2)
    desk.run("jobs", "cancel", handle.job_id)
    assert desk.state(handle) is JobState.SUCCEEDED
    assert not list(desk.platform.rglob("cancelled.json"))


def test_logs_whole_and_the_end_of_them(desk: Any) -> None:
    handle = desk.submit_and_start()
    assert desk.run("jobs", "logs", handle.job_id) == "one\ntwo\n"
    assert desk.run("jobs", "logs", handle.job_id, "--tail", "1") == "two\n"


def test_logs_to_the_end_of_the_job(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_start(run_timeout=0.01)  # a deadline is for the task to watch
    opener = threading.Timer(1.5, desk.gate.touch)
    opener.start()
    assert desk.run("jobs", "logs", handle.job_id, "--follow") == "one\ntwo\nthree\n"
    assert "succeeded" in said(capsys)
    assert desk.state(handle) is JobState.SUCCEEDED
    opener.join()


def test_ctrl_c_leaves_the_job_alone(desk: Any) -> None:
    handle = desk.submit_and_start()
    interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    desk.run("jobs", "logs", handle.job_id, "--follow", code=130)
    assert desk.state(handle) is JobState.RUNNING
    interrupt.join()


def test_tail_and_follow_exclude_each_other(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    desk.run("jobs", "logs", "job-1", "--tail", "3", "--follow", code=1)
    assert "`--tail` and `--follow`" in said(capsys)


def test_a_result_that_is_no_json_is_shown_as_python_shows_it(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_end("odd", 1, 2)
    assert desk.run("jobs", "result", handle.job_id) == "{1, 2}\n"
    assert "load_result" in said(capsys)


def test_the_functions_own_exception(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_end("fail")
    assert desk.run("jobs", "result", handle.job_id, code=1) == ""
    error = said(capsys)
    assert "fail() raised ValueError: the data set is empty" in error
    assert 'functions.py", line' in error
    assert "lifecycle/collect.py" not in error


def test_there_is_no_result_of_a_running_job(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_start()
    desk.run("jobs", "result", handle.job_id, code=1)
    assert "RUNNING" in said(capsys)


@pytest.mark.parametrize("hard", [[], ["--hard"]])
def test_a_preempted_job_starts_again(desk: Any, hard: list[str]) -> None:
    handle = desk.submit_and_start()

    desk.run("jobs", "preempt", handle.job_id, *hard)

    def row() -> Any:
        return json.loads(desk.run("jobs", "status", handle.job_id, "-o", "json"))

    until(lambda: row()["attempts"] == 2)
    desk.gate.touch()
    until(lambda: row()["state"] == "SUCCEEDED")
    assert row()["preemptions"] == 1


def test_only_what_runs_can_be_preempted(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = desk.submit_and_end("add", 1, 2)
    desk.run("jobs", "preempt", handle.job_id, code=1)
    assert "SUCCEEDED" in said(capsys)


def test_an_unknown_job(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("jobs", "status", "job-0", code=1) == ""
    error = said(capsys)
    assert error.startswith("Error: There is no job 'job-0'")
    assert "Traceback" not in error
    desk.run("jobs", "status", "job-0", "--verbose", code=1)
    assert "Traceback" in said(capsys)


def test_a_missing_connection(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    desk.run("jobs", "list", "--conn-id", "nowhere", code=1)
    assert "airflow connections add nowhere" in said(capsys)


def test_a_value_that_looks_like_markup_is_shown_as_it_is(desk: Any) -> None:
    desk.submit_and_end("add", 1, 2, run_id="[bold]r[/bold]")
    assert "[bold]r[/bold]" in desk.run("jobs", "list")
