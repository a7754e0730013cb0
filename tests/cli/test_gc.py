"""gc with real jobs and Airflow's own tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tables import Tables

from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.status import JobState
from airflow_provider_kinetic.model.target import Target


@pytest.fixture
def tables() -> Iterator[Tables]:
    with Tables.opened() as tables:
        yield tables


def gc(desk: Any, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    rows = json.loads(desk.run("gc", "--output", "json", *words, code=code))
    return {row["job_id"]: row for row in rows}


def test_what_nobody_wants_is_ended(desk: Any, tables: Tables) -> None:
    tables.run()
    wanted = desk.submit_and_start(task_id="wanted")
    tables.task("wanted", "deferred", newest=wanted.job_id)
    marked = desk.submit_and_start(task_id="marked")
    tables.task("marked", "failed", newest=marked.job_id)
    gone = desk.submit_and_start(task_id="gone")
    superseded = desk.submit_and_start(task_id="again")
    tables.task("again", "running", newest="job-of-now")
    submitted = desk.submit_and_start(task_id="submit")
    tables.task("submit", "success", newest=submitted.job_id, operator="KineticSubmitOperator")

    planned = gc(desk, "--dry-run")
    actions = {job_id: row["action"] for job_id, row in planned.items()}
    assert actions == {
        wanted.job_id: "keep",
        marked.job_id: "cancel",
        gone.job_id: "cancel",
        superseded.job_id: "cancel",
        submitted.job_id: "keep",
    }
    assert planned[superseded.job_id]["why"] == "its task has submitted job-of-now since"
    assert {desk.state(handle) for handle in (wanted, marked, gone, superseded, submitted)} == {JobState.RUNNING}

    done = gc(desk)
    assert {row["job_id"] for row in done.values() if row["outcome"] == "cancelled"} == {
        marked.job_id,
        gone.job_id,
        superseded.job_id,
    }
    assert set(gc(desk)) == {wanted.job_id, submitted.job_id}
    assert {desk.state(handle) for handle in (wanted, submitted)} == {JobState.RUNNING}
    row = json.loads(desk.run("jobs", "status", gone.job_id, "-o", "json"))
    assert (row["reason"], "airflow kinetic gc" in row["message"]) == ("Cancelled", True)


def test_a_failure_can_be_looked_at_for_a_while(desk: Any, tables: Tables) -> None:
    tables.run()
    handle = desk.submit_and_end("fail")
    tables.task("fail", "failed", newest=handle.job_id)
    assert gc(desk)[handle.job_id]["action"] == "keep"
    assert gc(desk, "--older-than", "0s")[handle.job_id]["outcome"] == "removed"
    assert gc(desk) == {}
    assert json.loads(desk.run("jobs", "status", handle.job_id, "-o", "json"))["state"] == "FAILED"


def test_jobs_of_another_installation_are_listed_and_left(
    desk: Any, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.run()
    handle = desk.submit_and_start()
    monkeypatch.setenv("AIRFLOW__KINETIC__INSTALLATION_ID", "another")
    assert gc(desk)[handle.job_id]["action"] == "not ours"
    assert desk.state(handle) is JobState.RUNNING


def test_one_failure_does_not_spare_the_others(desk: Any, tables: Tables) -> None:
    tables.run()
    broken, gone = desk.submit_and_start(task_id="a"), desk.submit_and_start(task_id="b")
    for path in desk.platform.rglob(f"{broken.job_id}/handle.json"):
        path.unlink()
    done = gc(desk, code=1)
    assert done[broken.job_id]["outcome"].startswith("failed: There is no job")
    assert done[gone.job_id]["outcome"] == "cancelled"


class OnALostNode:
    """A cluster whose machines have been told to end, and nobody hears of them."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def delete(self, handle: Any, *, wait: float = 0.0) -> bool:  # noqa: ARG002
        return False


def test_a_machine_that_has_not_ended_yet_is_no_error(
    desk: Any, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.run()
    gone = desk.submit_and_start(task_id="gone")
    local = platforms.PLATFORMS["local"]

    def opened(target: Target) -> Ports:
        ports = local(target)
        return replace(ports, cluster=OnALostNode(ports.cluster))

    with monkeypatch.context() as lost:
        lost.setitem(platforms.PLATFORMS, "local", opened)
        assert gc(desk)[gone.job_id]["outcome"] == "still being stopped, the next gc cleans it"
    assert gc(desk)[gone.job_id]["outcome"] == "cancelled"
    assert gc(desk) == {}


@pytest.mark.usefixtures("tables")
def test_an_empty_database_condemns_nobody(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It is another one than the scheduler's, or a new one."""
    handle = desk.submit_and_start()
    desk.run("gc", code=1)
    assert "knows no DAG run" in capsys.readouterr().err
    assert desk.state(handle) is JobState.RUNNING


def test_a_database_that_does_not_answer(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from airflow import settings
    from sqlalchemy import inspect

    assert not inspect(settings.engine).has_table("dag_run")
    handle = desk.submit_and_start()
    desk.run("gc", code=1)
    assert "database could not be asked" in capsys.readouterr().err
    assert desk.state(handle) is JobState.RUNNING
