"""A task whose image is missing: one build, one deferral, one job, whatever happens in between."""

from __future__ import annotations

import datetime
import json
import os
import signal
import time
from dataclasses import replace
from typing import Any

import pytest
import tasks
from image_shop import KEY, WAITS, Place
from project import until

from airflow_provider_kinetic.clusters.base import ClusterRefused
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.errors import (
    ClusterError,
    ConfigurationError,
    ImageError,
    JobTimeout,
    KineticError,
)
from airflow_provider_kinetic.model.images import Build
from airflow_provider_kinetic.model.status import JobState


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_image_is_built_and_the_job_runs_in_it(quick: Place, deferrable: bool) -> None:
    quick.task(deferrable=deferrable)
    result = quick.shop.run()

    assert result.value == 42, result.log
    assert result.xcoms["image"] == result.xcoms["kinetic_job"]["image_uri"] == quick.workshop._uri(quick.workshop.tag)
    assert result.xcoms["build_id"] == f"{quick.workshop.tag}-1"
    assert result.xcoms["log_url"].endswith(result.xcoms["build_id"])
    assert len(result.deferrals) == (1 if deferrable else 0)
    assert quick.workshop.states == ["SUCCEEDED"]
    assert len(quick.shop.calls) == 1
    assert quick.shop.artifacts in ([], ["_images"])


def test_an_image_that_is_there_costs_one_question_and_no_build(quick: Place) -> None:
    quick.task(deferrable=True)
    quick.shop.run()
    (quick.workshop.root / "asked").unlink()

    again = quick.shop.run(run_id="run_2")

    assert again.value == 42
    assert quick.workshop.asked == ["find"]
    assert "build_id" not in again.xcoms


def test_a_task_that_builds_before_makes_it_a_hit(quick: Place) -> None:
    quick.shop.write(
        """
from airflow_provider_kinetic import KineticBuildImageOperator

def f():
    return 42

with DAG('shop', schedule=None) as dag:
    build = KineticBuildImageOperator(task_id='build', category='cpu', requirements=['six'], deferrable=True)
    build >> KineticRunOperator(
        task_id='job', python_callable=f, accelerator='cpu', requirements=['six'], deferrable=True, stop_grace=1
    )
    KineticRunOperator(
        task_id='named', python_callable=f, accelerator='cpu', container_image=build.output, stop_grace=1
    )
"""
    )
    built = quick.shop.run("build")
    asked = len(quick.workshop.asked)
    result = quick.shop.run("job")

    assert result.value == 42
    assert quick.workshop.asked[asked:] == ["find"]
    assert result.xcoms["image"] == built.value
    named = quick.shop.run("named")
    assert (named.value, named.xcoms["image"]) == (42, built.value)
    assert quick.workshop.states == ["SUCCEEDED"]


def test_everything_lies_finished_in_the_store_before_the_image_is_built(place: Place) -> None:
    """The image's name is known before: the trigger has nothing to work out, and the worker is free."""
    task = place.task(deferrable=True, env_vars={"COLOUR": "red"})
    place.start(task)

    handle = place.shop.handle()
    order = json.loads(place.shop.ports.store.read(place.deferral["create"]))
    assert order["image"] == handle.image_uri == place.workshop._uri(place.workshop.tag)
    assert not uri_to_path(handle.image_uri).exists()
    assert order["job_id"] == handle.job_id
    assert Build.from_dict(place.deferral["build"]).tag == place.workshop.tag
    assert place.shop.ports.cluster.status(handle).state is JobState.NOT_FOUND
    assert place.shop.db.xcom(KEY, "kinetic_build")["id"] == place.shop.db.xcom(KEY, "build_id")

    event = tasks.watch(place.shop.db, KEY, meanwhile=place.workshop.finish)
    assert event["status"]["state"] == "SUCCEEDED"
    assert tasks.work(place.shop.load("job"), place.shop.db, KEY).state == "success"


def test_what_a_trigger_is_given_of_a_build_holds_no_requirement(place: Place) -> None:
    """A line may hold the password of a package index, and arguments of triggers are stored in clear text."""
    task = place.task(deferrable=True, requirements=["--index-url https://user:pa55word@index.example/simple", "six"])
    place.start(task)
    assert "pa55word" not in json.dumps(place.row.trigger)
    assert "pa55word" not in json.dumps({name: place.shop.db.xcom(KEY, name) for name in place.shop.db.xcom_names(KEY)})


def test_a_job_with_secrets_waits_in_the_worker(quick: Place) -> None:
    """Its order would have to hold them."""
    quick.task("def f():\n    return os.environ['TOKEN']", deferrable=True, secrets={"TOKEN": "s3cret"})
    result = quick.shop.run()
    assert result.value == "s3cret", result.log
    assert [deferral["trigger_kwargs"]["create"] for deferral in result.deferrals] in ([], [None])
    stored = [path for path in (quick.shop.platform / "jobs").rglob("*") if path.is_file()]
    assert not any(b"s3cret" in path.read_bytes() for path in stored)


def test_a_triggerer_that_restarts_goes_on_with_the_build(place: Place) -> None:
    place.start(place.task(deferrable=True))

    def restart() -> None:
        if "status" in place.workshop.asked:
            raise tasks.Shutdown

    tasks.watch(place.shop.db, KEY, meanwhile=restart)
    place.workshop.finish()
    tasks.watch(place.shop.db, KEY)
    tasks.work(place.shop.load("job"), place.shop.db, KEY)

    assert place.shop.db.xcom(KEY) == 42
    assert (len(place.workshop.builds), len(place.shop.calls)) == (1, 1)


def test_a_triggerer_that_dies_behind_the_creation_creates_nothing_twice(place: Place) -> None:
    task = place.task(WAITS, deferrable=True)
    place.start(task)
    place.workshop.finish()

    def restart() -> None:
        if place.shop.begun:
            raise tasks.Shutdown

    tasks.watch(place.shop.db, KEY, meanwhile=restart)
    place.shop.open_gate()
    tasks.watch(place.shop.db, KEY)
    assert tasks.work(place.shop.load("job"), place.shop.db, KEY).state == "success"
    assert len(place.shop.calls) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_build_fails_the_task_and_a_retry_builds_anew(place: Place, deferrable: bool) -> None:
    place.task(deferrable=deferrable, retries=1)
    fail = _once(lambda: place.workshop.fail("Step 1 failed", "no matching distribution for sixx\n"))
    place.equip(_acting(place.workshop, fail))
    failed = place.shop.run()

    assert failed.state == "up_for_retry"
    assert isinstance(failed.error, ImageError)
    assert "no matching distribution for sixx" in failed.error.summary
    assert place.workshop.builds[0][0] in failed.error.advice, "the log's address"
    assert place.shop.calls == []
    assert place.shop.artifacts == ["_images"], "nobody has a use for what was sent"

    place.build_quickly()
    again = place.shop.again(failed)
    assert again.value == 42, again.log
    assert place.workshop.states == ["FAILED", "SUCCEEDED"]


def test_requirements_that_were_corrected_after_a_failed_build_are_those_of_the_retry(place: Place) -> None:
    place.task(deferrable=True, retries=1, requirements=["sixx"])
    place.equip(_acting(place.workshop, lambda: place.workshop.fail("no such package")))
    failed = place.shop.run()
    first = failed.xcoms["kinetic_job"]
    place.build_quickly()
    place.task(deferrable=True, retries=1, requirements=["six"])

    again = place.shop.again(failed)

    assert again.value == 42, again.log
    assert again.xcoms["kinetic_job"]["image_uri"] != first["image_uri"]
    assert place.shop.ports.cluster.list() == []


@pytest.mark.parametrize("fault", ["manifest.json", "handle.json"])
def test_a_worker_that_is_lost_behind_the_start_of_a_build_costs_no_second_one(place: Place, fault: str) -> None:
    place.task(deferrable=True, retries=1)
    with place.shop.monkeypatch.context() as patch:
        patch.setattr(place.shop, "monkeypatch", patch)
        place.shop.refit(lambda ports: replace(ports, store=_Lost(ports.store, fault)))
        lost = place.shop.run()
    assert lost.state == "up_for_retry"
    assert place.workshop.states == ["WORKING"]

    place.build_quickly()
    again = place.shop.again(lost)

    assert again.value == 42, again.log
    assert (place.workshop.states, len(place.shop.calls), len(again.deferrals)) == (["SUCCEEDED"], 1, 1)


@pytest.mark.parametrize("action", ["clear", "failed"])
def test_a_task_that_is_taken_away_while_its_image_is_built_leaves_no_build_and_no_job(
    place: Place, action: str
) -> None:
    place.start(place.task(deferrable=True))
    handle = place.shop.handle()
    _take_away(place, action)

    assert place.workshop.states == ["CANCELLED"]
    place.workshop.finish()  # somebody else's, say
    assert place.shop.ports.cluster.list() == []
    assert place.shop.ports.store.stat(handle.artifact("cancelled.json")) is not None


def test_a_build_that_another_task_started_goes_on(place: Place) -> None:
    place.start(place.task(deferrable=True))
    other = KEY._replace(run_id="run_2")
    place.start(place.shop.load("job"), other)
    _take_away(place, "failed", other)
    assert place.workshop.states == ["WORKING"]
    _take_away(place, "failed", KEY)
    assert place.workshop.states == ["CANCELLED"]


def test_who_still_wants_the_image_of_a_cancelled_build_gets_it(quick: Place) -> None:
    quick.start(quick.task(deferrable=True))
    other = KEY._replace(run_id="run_2")
    quick.start(quick.shop.load("job"), other)
    quick.workshop.cancel(Build.from_dict(quick.deferral["build"]))
    tasks.watch(quick.shop.db, other)
    tasks.work(quick.shop.load("job"), quick.shop.db, other)
    assert quick.shop.db.xcom(other) == 42
    assert quick.workshop.states == ["CANCELLED", "SUCCEEDED"]


def test_a_clear_while_the_image_is_built_runs_once_under_another_id(place: Place) -> None:
    task = place.task(deferrable=True)
    place.start(task)
    first = place.shop.handle()
    place.shop.db.clear(KEY)
    tasks.work(place.shop.load("job"), place.shop.db, KEY)
    second = place.shop.handle()
    assert second.job_id != first.job_id
    assert place.shop.ports.store.stat(str(first.kept("cancelled.json"))) is not None, "its trigger creates nothing"
    tasks.watch(place.shop.db, KEY, meanwhile=place.workshop.finish)
    tasks.work(place.shop.load("job"), place.shop.db, KEY)
    assert place.shop.db.xcom(KEY) == 42
    assert len(place.shop.calls) == 1


def test_the_time_of_a_task_ends_while_its_image_is_built(place: Place) -> None:
    place.task(deferrable=True, execution_timeout=datetime.timedelta(seconds=0.5))
    result = place.shop.run()
    assert result.state == "failed"
    assert isinstance(result.error, JobTimeout)
    assert "execution_timeout of 0.5 s" in result.error.summary
    assert place.workshop.states == ["CANCELLED"]
    assert place.shop.ports.cluster.list() == []


@pytest.mark.parametrize(("kind", "told"), [(ConfigurationError, ConfigurationError), (ClusterRefused, ClusterError)])
def test_a_cluster_that_refuses_the_job_is_told_as_in_a_worker(
    place: Place, kind: type[KineticError], told: type[KineticError]
) -> None:
    class Refuses:
        def __init__(self, cluster: Any) -> None:
            self.__dict__["cluster"] = cluster

        def __getattr__(self, name: str) -> Any:
            return getattr(self.cluster, name)

        def create(self, *_: Any, **__: Any) -> None:
            raise kind("The cluster says no.", advice="Ask another one.")

    quick = replace(place.workshop, quick=True)
    place.shop.refit(lambda ports: replace(ports, builder=quick, cluster=Refuses(ports.cluster)))
    place.task(deferrable=True)
    result = place.shop.run()
    assert type(result.error) is told
    assert not any("asking again" in line for line in result.log)
    assert (result.error.summary, result.error.advice) == ("The cluster says no.", "Ask another one.")


def test_bad_input_is_found_before_anything_is_built(place: Place) -> None:
    place.task("import threading\nLOCK = threading.Lock()\n\n\ndef f():\n    return LOCK", deferrable=True)
    result = place.shop.run()
    assert isinstance(result.error, ConfigurationError), result.error
    assert place.workshop.builds == []


def _take_away(place: Place, action: str, key: Any = KEY) -> None:
    def act() -> None:
        if place.shop.db.rows[key].state == "deferred" and "status" in place.workshop.asked:
            place.shop.db.clear(key) if action == "clear" else place.shop.db.mark(key, action)

    tasks.watch(place.shop.db, key, meanwhile=act)
    until(lambda: place.shop.db.rows[key].state != "deferred")


def _once(act: Any) -> Any:
    acts = [act]
    return lambda: acts.pop()() if acts else None


def _acting(workshop: Any, act: Any) -> Any:
    """The workshop, where something happens at every look."""

    class Acting:
        def __getattr__(self, name: str) -> Any:
            return getattr(workshop, name)

        def status(self, build: Build) -> Any:
            act()
            return workshop.status(build)

    return Acting()


class _Lost:
    """A store in which the process is lost as soon as it writes an object of this name."""

    def __init__(self, store: Any, name: str) -> None:
        self._store, self._name = store, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        if uri.endswith(f"/{self._name}"):
            raise KeyboardInterrupt("lost")
        self._store.write(uri, data, if_absent=if_absent)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_task_that_is_killed_while_its_build_is_started_cancels_it(place: Place, deferrable: bool) -> None:
    """The signal comes when nobody knows of a build yet."""

    class Killing:
        def __getattr__(self, name: str) -> Any:
            return getattr(place.workshop, name)

        def start(self, *args: Any, **kwargs: Any) -> Build:
            build = place.workshop.start(*args, **kwargs)
            place.shop.db.rows[KEY].state = "failed"
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            return build

    place.equip(Killing())
    place.task(deferrable=deferrable)
    result = place.shop.run()
    assert result.state == "failed"
    assert result.deferrals == []
    assert place.workshop.states == ["CANCELLED"]
    assert place.shop.ports.cluster.list() == []


def test_a_build_ends_with_its_task_also_where_the_cluster_does_not_answer(place: Place) -> None:
    class Silent:
        def status(self, _: Any) -> Any:
            raise ClusterError("silence")

    place.start(place.task(deferrable=True))
    place.shop.refit(lambda ports: replace(ports, cluster=Silent()))
    _take_away(place, "failed")
    assert place.workshop.states == ["CANCELLED"]
