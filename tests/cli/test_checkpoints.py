"""What people see of a trial's checkpoints and metrics, and what they can do with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import write
from event_files import read_events
from garbage import collected
from gcs_places import BUCKET
from gcs_server import GcsServer
from installation import TaskKey
from tables import Tables

from airflow_provider_kinetic.hooks.gcs import close as close_clients
from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import FileVault, Vault, as_uri
from airflow_provider_kinetic.model.errors import Preempted


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


@pytest.fixture
def folder(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    scratch = desk.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("KINETIC_TMP", str(scratch))
    return desk.folder / "my runs" / "one"


@pytest.fixture
def bucket(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsVault]:
    """The connection leads to a Cloud Storage, as on a cluster."""
    connection = {"conn_type": "kinetic", "extra": {"platform": "kubernetes", "bucket": BUCKET}}
    monkeypatch.setenv("AIRFLOW_CONN_KINETIC_DEFAULT", json.dumps(connection))
    session = Session({"STORAGE_EMULATOR_HOST": gcs.url}, patience=10)
    with collected():
        yield GcsVault(session)
        session.close()
        close_clients()


@pytest.fixture(params=["file", "gs"])
def trained(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a trial is that was preempted once and ended well, with checkpoints of steps 1 to 5."""
    if request.param == "file":
        return train(str(folder), FileVault())
    return train(f"gs://{BUCKET}/my runs/one", request.getfixturevalue("bucket"))


def train(where: str, vault: Vault) -> str:
    for steps, end in (((1, 2), Preempted()), ((3, 4, 5), None)):
        trial = Trial(as_uri(where), Keep(latest=10), vault)
        for step in steps:
            trial.log({"loss": 1 / step, "rate": 0.1}, step=step)
            trial.log({"loss": float("nan")}, step=step, group="validation")
            with trial.save(step, loss=1 / step) as path:
                write(path, {"state": str(step).encode()})
        trial.close(end)
    return where


@pytest.fixture
def listed(desk: Any) -> Callable[..., list[dict[str, Any]]]:
    def run(*words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(desk.run("checkpoints", *words, "-o", "json"))
        return found

    return run


def test_the_list_is_for_people_and_for_scripts(desk: Any, trained: str, listed: Any) -> None:
    rows = listed("list", trained)
    assert [(row["step"], row["attempt"], row["state"]) for row in rows] == [
        (1, 1, "COMPLETED"),
        (2, 1, "COMPLETED"),
        (3, 2, "COMPLETED"),
        (4, 2, "COMPLETED"),
        (5, 2, "COMPLETED"),
    ]
    assert rows[1]["metadata"] == {"loss": 0.5}
    assert rows[1]["created_at"].endswith("+00:00")
    assert rows[1]["pinned"] is False
    assert listed("list", as_uri(trained)) == rows
    assert desk.run("checkpoints", "list", trained).count("loss=0") == 4


def test_people_are_told_what_the_trial_went_through(desk: Any, trained: str, capsys: Any) -> None:
    desk.run("checkpoints", "list", trained)
    text = said(capsys)
    assert "The trial is COMPLETED, attempt 2, step 5; preempted 1 time, lost 0 s of work." in text


def test_one_is_named_in_many_ways(desk: Any, trained: str) -> None:
    def step(wanted: str) -> int:
        return int(json.loads(desk.run("checkpoints", "show", trained, wanted, "-o", "json"))["step"])

    assert step("latest") == 5
    assert step("3") == 3
    assert step("best:loss") == 5
    assert step("best:loss:max") == 1
    assert step("000000000002-a0001-0002") == 2
    assert '{"loss": 0.5}' in desk.run("checkpoints", "show", trained, "2")


@pytest.mark.parametrize("wanted", ["77", "best:accuracy", "yesterday"])
def test_what_is_not_there_is_an_error(desk: Any, trained: str, wanted: str, capsys: Any) -> None:
    desk.run("checkpoints", "show", trained, wanted, code=1)
    assert f"no checkpoint '{wanted}'" in said(capsys)


def test_a_pinned_one_survives_pruning(desk: Any, trained: str, listed: Any) -> None:
    desk.run("checkpoints", "pin", trained, "1")
    assert [row["step"] for row in listed("list", trained) if row["pinned"]] == [1]
    options = ("--keep-latest", "1", "--keep-every", "3")

    planned = listed("prune", trained, *options, "--dry-run")
    assert [row["action"] for row in planned] == ["keep", "remove", "keep", "remove", "keep"]
    assert len(listed("list", trained)) == 5

    done = listed("prune", trained, *options)
    assert [row["outcome"] for row in done] == [None, "removed", None, "removed", None]
    assert [row["step"] for row in listed("list", trained)] == [1, 3, 5]

    desk.run("checkpoints", "unpin", trained, "1")
    listed("prune", trained, "--keep-latest", "1", "--keep-best", "loss:max")
    assert [row["step"] for row in listed("list", trained)] == [1, 5]
    assert "asked to be kept" in desk.run("checkpoints", "prune", trained, "--keep-latest", "2")


def test_a_trial_that_runs_is_not_pruned(desk: Any, folder: Path, listed: Any, capsys: Any) -> None:
    trial = Trial(as_uri(folder), Keep(latest=10), FileVault())
    for step in (1, 2, 3):
        with trial.save(step) as path:
            write(path, {"state": b""})
    desk.run("checkpoints", "prune", str(folder), "--keep-latest", "1", code=1)
    assert "The trial is RUNNING" in said(capsys)
    assert len(listed("list", str(folder))) == 3
    desk.run("checkpoints", "prune", str(folder), "--keep-latest", "1", "--force")
    assert [row["step"] for row in listed("list", str(folder))] == [3]
    trial.close()


def test_a_copy_is_said_on_stdout(desk: Any, trained: str, capsys: Any) -> None:
    target = desk.folder / "copy of it"
    assert desk.run("checkpoints", "copy", trained, "best:loss", str(target)) == f"{target}\n"
    assert (target / "state").read_text() == "5"
    assert json.loads((target / "metadata.json").read_text())["steps_completed"] == 5
    desk.run("checkpoints", "copy", trained, "1", str(target), code=1)
    assert "There is something in" in said(capsys)


@pytest.mark.parametrize("trained", ["gs"], indirect=True)
def test_a_copy_within_cloud_storage(desk: Any, trained: str, bucket: GcsVault, capsys: Any) -> None:
    target = f"gs://{BUCKET}/copy of it"
    assert desk.run("checkpoints", "copy", trained, "best:loss", target) == f"{target}\n"
    assert bucket.read(f"{target}/state") == b"5"
    desk.run("checkpoints", "copy", trained, "1", target, code=1)
    assert "There is something under" in said(capsys)


def test_metrics_of_all_attempts(desk: Any, trained: str) -> None:
    rows = json.loads(desk.run("metrics", trained, "-o", "json"))
    assert [(row["group"], row["metric"]) for row in rows] == [
        ("train", "loss"),
        ("train", "rate"),
        ("validation", "loss"),
    ]
    assert rows[0] == {"group": "train", "metric": "loss", "last": 0.2, "min": 0.2, "max": 1.0, "count": 5, "step": 5}
    assert rows[2]["last"] == "NaN"
    (only,) = json.loads(desk.run("metrics", trained, "--group", "train", "--metric", "rate", "-o", "json"))
    assert only["metric"] == "rate"
    assert "validation" in desk.run("metrics", trained)


def test_rows_as_csv(desk: Any, trained: str) -> None:
    table = list(csv.DictReader(io.StringIO(desk.run("metrics", trained, "--csv"))))
    assert len(table) == 10
    assert [row["step"] for row in table if row["group"] == "train"] == ["1", "2", "3", "4", "5"]
    assert {row["attempt"] for row in table} == {"1", "2"}
    assert {row["loss"] for row in table if row["group"] == "validation"} == {"NaN"}
    assert {row["rate"] for row in table if row["group"] == "validation"} == {""}
    few = desk.run("metrics", trained, "--csv", "--metric", "rate").splitlines()
    assert few[0] == "group,step,attempt,time,rate"
    assert len(few) == 6


def test_event_files_for_tensorboard(desk: Any, trained: str, capsys: Any) -> None:
    target = desk.folder / "board"
    desk.run("metrics", trained, "--tensorboard", str(target), "--metric", "loss")
    assert sorted(path.name for path in target.iterdir()) == ["train", "validation"]
    (file,) = (target / "train").iterdir()
    first, *events = read_events(file.read_bytes())
    assert first.version
    assert [(event.step, [*event.values]) for event in events] == [(step, ["loss"]) for step in range(1, 6)]
    desk.run("metrics", trained, "--tensorboard", str(target), "--metric", "nothing", code=1)
    desk.run("metrics", trained, "--tensorboard", str(target), "--csv", code=1)
    assert "cannot be used together" in said(capsys)


@pytest.mark.usefixtures("folder")
def test_a_trial_is_found_by_its_job_and_by_its_task(desk: Any, listed: Any, capsys: Any) -> None:
    handle = desk.submit_and_end("add", 1, 2, task_id="train", map_index=3)
    with Trial(handle.output_dir, Keep(), FileVault()) as trial, trial.save(7) as path:
        write(path, {"state": b""})

    assert [row["step"] for row in listed("list", handle.job_id)] == [7]
    assert listed("list", handle.k8s_name) == listed("list", handle.job_id)
    with Tables.opened() as tables:
        tables.run()
        tables.instance(TaskKey("etl", "train", "r1", 3), "success", newest=handle.job_id)
        assert listed("list", "etl/train/r1", "--map-index", "3") == listed("list", handle.job_id)
        desk.run("checkpoints", "list", "etl/train/r1", code=1)
        assert "`--map-index`" in said(capsys)


def test_trials_that_cannot_be_found(desk: Any, capsys: Any) -> None:
    desk.run("checkpoints", "list", "job-none", code=1)
    assert "There is no job 'job-none'" in said(capsys)
    for given in ("etl/train", "model"):  # a folder would be ./model
        desk.run("metrics", given, code=1)
        assert "names no trial" in said(capsys)
    for command in (("checkpoints", "list"), ("checkpoints", "prune"), ("metrics",)):
        desk.run(*command, str(desk.folder / "no trial"), code=1)
        assert "There is no trial in" in said(capsys)
    desk.run("metrics", "gs://bucket/folder", code=1)
    assert "file://" in said(capsys)
