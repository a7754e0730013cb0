"""``KineticBuildImageOperator``: what it builds, what it hands on, and what becomes of its build when it ends early."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tasks
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from image_shop import Place
from installation import TaskKey
from workshop import LOG_URL

from airflow_provider_kinetic.lifecycle.building import Inspect
from airflow_provider_kinetic.links.build import KineticBuildLink
from airflow_provider_kinetic.model.errors import (
    AcceleratorError,
    ClusterError,
    ConfigurationError,
    ImageError,
    JobTimeout,
    RequirementsError,
)
from airflow_provider_kinetic.model.images import Build
from airflow_provider_kinetic.operators.build_image import KineticBuildImageOperator
from airflow_provider_kinetic.operators.interruptible import Killed
from airflow_provider_kinetic.triggers import builds
from airflow_provider_kinetic.triggers.build import KineticBuildTrigger

KEY = TaskKey("shop", "build", "run_1")
SHORT = datetime.timedelta(seconds=0.6)


def write(place: Place, **options: Any) -> Any:
    given = {"category": "cpu", "requirements": ["six"], **options}
    place.shop.write(
        "from airflow_provider_kinetic import KineticBuildImageOperator\n"
        f"with DAG('shop', schedule=None) as dag:\n    KineticBuildImageOperator(task_id='build', **{given!r})\n"
    )
    return place.shop.load("build")


def run(place: Place, **options: Any) -> tasks.TaskResult:
    return tasks.run(write(place, **options), place.shop.db)


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_image_is_the_value_and_the_build_is_told(quick: Place, deferrable: bool) -> None:
    result = run(quick, deferrable=deferrable)

    tag = quick.workshop.tag
    assert result.value == quick.workshop._uri(tag)
    told = {name: result.xcoms[name] for name in ("cached", "build_id", "log_url")}
    assert told == {"cached": False, "build_id": f"{tag}-1", "log_url": f"{LOG_URL}{tag}-1"}
    assert len(result.deferrals) == (1 if deferrable else 0)
    assert quick.workshop.states == ["SUCCEEDED"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_image_that_is_there_is_found(quick: Place, deferrable: bool) -> None:
    first = run(quick)
    again = tasks.run(write(quick, deferrable=deferrable), quick.shop.db, run_id="run_2")
    assert again.value == first.value
    assert (again.xcoms["cached"], again.xcoms["build_id"], again.deferrals) == (True, "", [])
    assert len(quick.workshop.builds) == 1


def test_category_base_image_and_requirements_decide_the_tag(quick: Place) -> None:
    quick.shop.connect(emulate_accelerators=True)
    variants = (
        {},
        {"category": "gpu"},
        {"category": None, "accelerator": "l4", "requirements": ["six"]},
        {"category": "gpu", "accelerator": "a100x4"},
        {"requirements": []},
        {"requirements": ["six", "jax"]},
    )
    values = [
        tasks.run(write(quick, **options), quick.shop.db, run_id=f"run_{number}").value
        for number, options in enumerate(variants)
    ]
    cpu, gpu, l4, a100, bare, filtered = values
    assert len({cpu, gpu, bare}) == 3
    assert gpu == l4 == a100
    assert filtered == cpu, "the image brings its own JAX"


def test_prebuilt_and_named_images_are_handed_on(place: Place) -> None:
    named = run(place, container_image="registry.example/mine:1")
    assert (named.value, named.xcoms["cached"]) == ("registry.example/mine:1", True)
    assert place.workshop.builds == []


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"category": "npu"}, ConfigurationError, "`category`"),
        ({"project": "p"}, ConfigurationError, "`project`"),
        ({"category": None, "accelerator": "l4"}, AcceleratorError, "l4"),
        ({"category": None, "accelerator": "cpu", "base_image": "python:3"}, ConfigurationError, "`base_image`"),
        ({"build_timeout": -1}, ConfigurationError, "`build_timeout`"),
        ({"requirements": "nowhere.txt"}, RequirementsError, "nowhere.txt"),
        ({"container_image": "prebuilt"}, ConfigurationError, "prebuilt"),
        ({"base_image_repo": "docker.io/acme"}, ConfigurationError, "`base_image_repo`"),
    ],
)
def test_what_cannot_be_meant_is_found_before_anything_is_built(
    place: Place, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    place.shop.connect(emulate_accelerators=False)
    result = run(place, **options)
    assert isinstance(result.error, error), result.error
    assert words in str(result.error)
    assert place.workshop.builds == []


def test_category_and_accelerator_must_agree(place: Place) -> None:
    place.shop.connect(emulate_accelerators=True)
    result = run(place, category="tpu", accelerator="l4")
    assert isinstance(result.error, ConfigurationError)
    assert "`accelerator` 'l4'" in result.error.summary


def test_options_of_the_task_stand_before_those_of_the_connection(place: Place) -> None:
    place.shop.connect(emulate_accelerators=True, build_region="us-central1", build_timeout=100)
    seen: list[Any] = []
    quick = replace(place.workshop, quick=True)

    from airflow_provider_kinetic.hooks import platforms

    real = platforms.PLATFORMS["local"]

    def opened(target: Any) -> Any:
        seen.append(target)
        return replace(real(target), builder=quick)

    place.shop.monkeypatch.setitem(platforms.PLATFORMS, "local", opened)
    options = {"build_timeout": datetime.timedelta(minutes=5), "build_tags": ["a", "b"], "base_image": "debian:13"}
    place.shop.write(
        "from airflow_provider_kinetic import KineticBuildImageOperator\nimport datetime\n"
        "with DAG('shop', schedule=None) as dag:\n"
        f"    KineticBuildImageOperator(task_id='build', category='cpu', deferrable=True, **{options!r})\n"
    )
    result = place.shop.run("build")
    assert result.state == "success", result.log
    assert len(seen) >= 2, "the worker's and the triggerer's"
    for target in seen:
        build = target.build
        assert (build.timeout, build.tags, build.base_image) == (300.0, ("a", "b"), "debian:13")
        assert build.region == "us-central1"


def test_what_is_templated_is_rendered(quick: Place) -> None:
    result = run(quick, requirements=["six=={{ 1 + 1 }}"], category="{{ 'cpu' }}")
    assert result.state == "success"
    (request,) = (quick.shop.platform / "jobs" / "_images").glob("*/request.json")
    assert json.loads(request.read_text())["requirements"] == "six==2\n"


def test_passwords_of_indexes_reach_nobody_but_the_builder(quick: Place) -> None:
    told: list[str] = []

    class Listening(tasks.ExecutionApi):
        def __call__(self, request: Any) -> Any:
            told.append(request.content.decode())
            return super().__call__(request)

    url = "https://me:{{ 'pw-' ~ 2210 }}@index.acme.com/simple"
    task = write(quick, requirements=[f"--index-url {url}", "six"], deferrable=True)
    quick.shop.db.queue(KEY)
    tasks.work(task, quick.shop.db, KEY, api=Listening(quick.shop.db))
    reset_secrets_masker()
    assert quick.shop.db.rows[KEY].state == "deferred"
    assert any("https://me:***@index.acme.com" in body for body in told), "rendered fields"
    assert [body for body in told if "pw-2210" in body] == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_build_fails_the_task_and_a_retry_builds_anew(place: Place, deferrable: bool) -> None:
    acts: list[Callable[[], object]] = [lambda: place.workshop.fail("Step 1 failed", "no wheel for sixx\n")]
    place.equip(Acting(place.workshop, acts))
    failed = run(place, deferrable=deferrable, retries=1)
    assert failed.state == "up_for_retry"
    assert isinstance(failed.error, ImageError)
    assert "no wheel for sixx" in str(failed.error)
    assert LOG_URL in failed.error.advice

    place.build_quickly()
    again = place.shop.again(failed)
    assert again.state == "success"
    assert place.workshop.states == ["FAILED", "SUCCEEDED"]


@pytest.mark.parametrize(
    ("deferrable", "cancels", "state"),
    [(False, True, "CANCELLED"), (True, True, "CANCELLED"), (True, False, "WORKING")],
)
def test_the_time_of_the_task_limits_the_wait(place: Place, deferrable: bool, cancels: bool, state: str) -> None:
    result = run(place, deferrable=deferrable, cancel_on_kill=cancels, execution_timeout=SHORT)
    assert result.state == "failed"
    assert isinstance(result.error, JobTimeout) is deferrable, result.error
    assert place.workshop.states == [state]


def test_a_build_that_cannot_be_cancelled_is_not_said_to_be(place: Place) -> None:
    class Deaf(Acting):
        def cancel(self, build: Build) -> None:
            raise ClusterError(f"Nobody answers about {build.id}.")

    place.equip(Deaf(place.workshop, []))
    result = run(place, execution_timeout=SHORT)
    assert result.state == "failed"
    (line,) = [line for line in result.log if "cancelled" in line]
    assert "could not be cancelled, and goes on" in line
    assert place.workshop.states == ["WORKING"]


@pytest.mark.parametrize(("cancels", "state"), [(True, "CANCELLED"), (False, "WORKING")])
@pytest.mark.parametrize("action", ["clear", "failed"])
def test_a_deferred_task_that_is_taken_away_takes_its_build_along(
    place: Place, action: str, cancels: bool, state: str
) -> None:
    defer(place, cancel_on_kill=cancels)
    take_away(place, action)
    assert place.workshop.states == [state]


def test_a_cleared_task_that_waits_for_the_same_build_again_keeps_it(place: Place) -> None:
    """The old trigger is killed while, or after, the new try submits (``airflow`` 3.2)."""
    task = defer(place)
    old = dict(place.shop.db.rows[KEY].trigger)
    place.shop.db.clear(KEY)
    tasks.work(task, place.shop.db, KEY)
    with tasks.triggerer(tasks.ExecutionApi(place.shop.db), place.shop.db, KEY):
        trigger = import_string(old["classpath"])(**deserialize(old["trigger_kwargs"]))
        trigger.task_instance = tasks._dto(place.shop.db, KEY)
        asyncio.run(trigger.on_kill())
    assert place.workshop.states == ["WORKING"]


def test_a_triggerer_that_restarts_builds_nothing_twice(place: Place) -> None:
    task = defer(place)

    def restart() -> None:
        if "status" in place.workshop.asked:
            raise tasks.Shutdown

    tasks.watch(place.shop.db, KEY, meanwhile=restart)
    assert place.workshop.states == ["WORKING"]
    tasks.watch(place.shop.db, KEY, meanwhile=place.workshop.finish)
    tasks.work(task, place.shop.db, KEY)
    assert place.shop.db.xcom(KEY) == place.workshop._uri(place.workshop.tag)
    assert len(place.workshop.builds) == 1


def test_a_trigger_that_breaks_down_leaves_no_build_behind_the_last_try(place: Place) -> None:
    task = defer(place)
    place.shop.db.resume(KEY, "__fail__", {"error": "Trigger failure", "traceback": []})
    assert tasks.work(task, place.shop.db, KEY).state == "failed"
    assert place.workshop.states == ["CANCELLED"]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_worker_whose_task_was_taken_away_cancels_its_build(place: Place, retries: int) -> None:
    def kill() -> None:
        place.shop.db.rows[KEY].state = "failed"  # a user's action, on which Airflow ends the worker
        os.kill(os.getpid(), signal.SIGTERM)

    place.equip(Acting(place.workshop, [kill]))
    with contextlib.suppress(AssertionError):  # what the worker says in the end of a task that is over
        run(place, retries=retries)
    assert place.shop.db.rows[KEY].state == "failed"
    assert place.workshop.states == ["CANCELLED"]


def test_a_worker_that_only_shuts_down_leaves_its_build_to_the_next_try(place: Place) -> None:
    place.equip(Acting(place.workshop, [lambda: os.kill(os.getpid(), signal.SIGTERM)]))
    result = run(place, retries=1)
    assert result.state == "up_for_retry"
    assert isinstance(result.error, Killed)
    place.build_quickly()
    assert place.shop.again(result).state == "success"
    assert place.workshop.states == ["SUCCEEDED"]


def test_every_argument_of_the_trigger_survives_the_database() -> None:
    given = {
        "build": Build("cpu-1", "image", "id", number=3, started_by_us=True).to_dict(),
        "kinetic_conn_id": "elsewhere",
        "store_root": "gs://bucket",
        "overrides": {"build_tags": ["a"], "build_timeout": 60.0},
        "poll": 1.5,
        "fire_after": 12345.5,
        "timeout": [60.0, 12345.5],
        "cancel_on_kill": False,
    }
    parameters = inspect.signature(KineticBuildTrigger).parameters
    assert set(given) == set(parameters), "every argument is named here"
    path, kwargs = KineticBuildTrigger(**given).serialize()
    again = import_string(path)(**deserialize(json.loads(json.dumps(serialize(kwargs)))))
    assert {name: getattr(again, name) for name in given} == given


def test_a_hundred_triggers_ask_about_a_build_once(place: Place) -> None:
    request = place.workshop.request_for("cpu", "")
    build = place.workshop.start(request, log=str)
    other = replace(build, number=2)
    place.workshop._build(build.tag, 2).mkdir()
    ports: Any = replace(place.shop.ports, builder=place.workshop)

    async def ask() -> None:
        for _ in range(3):
            found = await asyncio.gather(*(builds.status(ports, Inspect(build, 600.0)) for _ in range(100)))
            assert {status.state.value for status in found} == {"WORKING"}
        await builds.status(ports, Inspect(other, 600.0))

    asyncio.run(ask())
    assert place.workshop.asked.count("status") == 2
    place.workshop.fall_silent()

    async def fail() -> None:
        for _ in range(2):
            await asyncio.gather(
                *(builds.status(ports, Inspect(build, 600.0)) for _ in range(10)), return_exceptions=True
            )

    asyncio.run(fail())
    assert place.workshop.asked.count("status") == 4, "an error is not kept"


def test_the_link_to_the_log_is_there_while_the_image_is_built(place: Place) -> None:
    defer(place)
    link = KineticBuildLink()
    assert place.shop.db.xcom(KEY, link.xcom_key) == f"{LOG_URL}{place.workshop.tag}-1"
    assert link in KineticBuildImageOperator.operator_extra_links or any(
        isinstance(each, KineticBuildLink) for each in KineticBuildImageOperator.operator_extra_links
    )


class Acting:
    """The workshop, where something happens at the next looks."""

    def __init__(self, workshop: Any, acts: list[Callable[[], object]]) -> None:
        self._workshop, self._acts = workshop, acts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workshop, name)

    def status(self, build: Build) -> Any:
        if self._acts:
            self._acts.pop(0)()
        return self._workshop.status(build)


def defer(place: Place, **options: Any) -> Any:
    task = write(place, deferrable=True, **options)
    place.shop.db.queue(KEY, max_tries=0, operator=task.task_type)
    tasks.work(task, place.shop.db, KEY)
    assert place.shop.db.rows[KEY].state == "deferred"
    return task


def take_away(place: Place, action: str) -> None:
    def act() -> None:
        if place.shop.db.rows[KEY].state == "deferred" and "status" in place.workshop.asked:
            place.shop.db.clear(KEY) if action == "clear" else place.shop.db.mark(KEY, action)

    tasks.watch(place.shop.db, KEY, meanwhile=act)
