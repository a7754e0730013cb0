"""The life of a job on any cluster: on the loopback one, and with ``-m cluster`` on a real one (docs/testing.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tasks
from installation import TaskKey
from project import until
from stage import NO_IMAGE, Place, Stage

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.model.errors import UserCodeError
from airflow_provider_kinetic.model.status import JobState

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
KEY = TaskKey("shop", "job", "run_1")


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with Place.chosen(request, tmp_path) as place, Stage.set(place, tmp_path, monkeypatch) as stage:
        yield stage


def attempts(stage: Stage) -> int:
    return len(trial.attempts(stage.ports.store, str(stage.handle().output_dir)))


@modes
def test_a_function_runs_once_and_its_value_comes_back(stage: Stage, deferrable: bool) -> None:
    stage.job("def f():\n    print('hello')\n    return {'loss': 0.5}", deferrable=deferrable)
    result = stage.run()
    assert (result.state, result.value) == ("success", {"loss": 0.5}), result.log
    assert "hello" in result.log
    assert attempts(stage) == 1
    until(lambda: not stage.batch.list_namespaced_job(stage.namespace).items, stage.place.patience)


@modes
def test_the_user_s_exception_comes_back_with_the_traceback_of_the_job(stage: Stage, deferrable: bool) -> None:
    stage.job("def f():\n    raise ValueError('no such data set')", deferrable=deferrable)
    result = stage.run()
    assert isinstance(result.error, UserCodeError), result.log
    assert isinstance(result.error.__cause__, ValueError)
    assert any("Traceback" in line and "in f" in line for line in result.log)
    assert attempts(stage) == 1


def test_a_retry_follows_the_job_of_the_lost_worker(stage: Stage) -> None:
    stage.job("def f():\n    time.sleep(3)\n    return 42", deferrable=True, retries=1)
    stage.db.queue(KEY, max_tries=1)
    outcome = tasks.work(stage.load("job"), stage.db, KEY)
    assert stage.db.rows[KEY].state == "deferred", outcome.error
    stage.db.retry(KEY)
    result = stage.run()
    assert (result.state, result.value) == ("success", 42), result.log
    assert attempts(stage) == 1


def test_a_task_that_is_taken_away_takes_its_job_along(stage: Stage) -> None:
    stage.job("def f():\n    time.sleep(600)", deferrable=True)
    stage.db.queue(KEY)
    outcome = tasks.work(stage.load("job"), stage.db, KEY)
    assert stage.db.rows[KEY].state == "deferred", outcome.error
    until(lambda: stage.phases() == ["Running"], stage.place.patience)

    def act() -> None:
        if stage.db.rows[KEY].state == "deferred":
            stage.db.mark(KEY, "failed")

    tasks.watch(stage.db, KEY, meanwhile=act)
    until(lambda: stage.phases() == [], stage.place.patience)
    handle = stage.handle()
    assert KineticHook.of(handle).status(handle).state is JobState.NOT_FOUND
    assert stage.ports.store.stat(handle.artifact("cancelled.json")) is not None


def test_a_secret_reaches_the_job(stage: Stage) -> None:
    stage.job("def f():\n    return len(os.environ['HF_TOKEN'])", secrets={"HF_TOKEN": "x" * 20})
    result = stage.run()
    assert result.value == 20, result.log
    until(lambda: not stage.core.list_namespaced_secret(stage.namespace).items, stage.place.patience)


def test_an_image_that_does_not_exist_is_named(stage: Stage) -> None:
    stage.job("def f():\n    return 42", container_image=NO_IMAGE, startup_timeout=min(60, stage.place.patience / 20))
    result = stage.run()
    assert NO_IMAGE in str(result.error), result.log
