"""The wait for a build, performed step by step: what it asks, says, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workshop import LOG_URL, Workshop

from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle import building, images
from airflow_provider_kinetic.lifecycle.effects import ExecutionTimeout, Pause, Say, drive
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import ClusterError, ImageError, JobTimeout
from airflow_provider_kinetic.model.images import Build, BuildState, Image, ImageRequest
from airflow_provider_kinetic.stores.local import LocalStore

REQUEST = ImageRequest("cpu", "3.11", "python:3.11-slim", "six\n")


class Bench:
    """One image that is missing, and what a wait for it says."""

    def __init__(self, folder: Path) -> None:
        self.workshop = Workshop(folder / "workshop")
        unused: Any = None
        self.ports = Ports(unused, LocalStore(), self.workshop)
        self.root = path_to_uri(folder / "jobs")
        self.said: list[str] = []
        self.acts: list[Callable[[], object]] = []
        self.now = 0.0

    def begin(self) -> Build:
        return images.begin(self.ports, self.root, REQUEST, images.BLOCKING, self.said.append)

    def wait(self, build: Build, **options: Any) -> Image:
        """Each pause performs the next act of the test."""
        waiting = building.wait_for(build, self.root, poll=1, clock=lambda: self.now, **options)
        return drive(waiting, self.ports, say=self.said.append, show=self.said.append, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.acts.pop(0)()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_image_of_a_build_that_succeeds(bench: Bench) -> None:
    build = bench.begin()
    bench.acts = [lambda: None, bench.workshop.finish]

    image = bench.wait(build)

    assert image == Image(build.uri, cached=False, build_id=build.id, log_url=build.log_url)
    lines = [line for line in bench.said if line.endswith("working: collecting")]
    assert len(lines) == 1, "equal states are told once"
    assert any(build.log_url in line for line in bench.said)
    assert bench.workshop.find(REQUEST) == Image(build.uri, cached=True)


def test_whoever_comes_second_waits_for_the_same_build(bench: Bench) -> None:
    first, second = bench.begin(), bench.begin()
    assert (first.started_by_us, second.started_by_us) == (True, False)
    bench.acts = [bench.workshop.finish]
    assert bench.wait(second).uri == bench.wait(first).uri
    assert len(bench.workshop.builds) == 1


def test_a_failed_build_is_told_to_all_and_built_anew_at_once(bench: Bench) -> None:
    first, second = bench.begin(), bench.begin()
    log = "".join(f"line {number}\n" for number in range(100))
    bench.workshop.fail("Step 2 failed.", log)
    for build in (first, second):
        with pytest.raises(ImageError) as caught:
            bench.wait(build)
        error = caught.value
        assert error.summary.startswith(f"The image {REQUEST.tag} could not be built: Step 2 failed.\n")
        assert "line 99" in error.summary
        assert "line 0\n" not in error.summary
        assert f"{LOG_URL}{REQUEST.tag}-1" in error.advice
    assert bench.begin().number == 2


def test_addresses_in_the_log_of_a_build_are_told_without_their_passwords(bench: Bench) -> None:
    build = bench.begin()
    line = "fatal: unable to access 'https://me:pw-2210@host/x.git/': 404"
    bench.acts = [lambda: bench.workshop.fail(f"Step 2 failed: {line}", f"{line}\ngit@host said no\n")]
    with pytest.raises(ImageError) as caught:
        bench.wait(build)
    told = str(caught.value)
    assert told.count("https://***@host/x.git") == 2
    assert "git@host" in told
    assert "pw-2210" not in told


def test_a_build_that_took_too_long_says_what_to_raise(bench: Bench) -> None:
    build = bench.begin()
    bench.workshop.fail("", state=BuildState.TIMED_OUT)
    with pytest.raises(ImageError, match="the build is timed out") as caught:
        bench.wait(build)
    assert "build_timeout" in caught.value.advice


def test_a_build_that_somebody_else_cancelled_is_demanded_anew(bench: Bench) -> None:
    mine = bench.begin()
    noted: list[Build] = []
    bench.acts = [lambda: bench.workshop.cancel(mine), lambda: None, bench.workshop.finish]

    image = bench.wait(bench.begin(), note=noted.append)

    assert bench.workshop.states == ["CANCELLED", "SUCCEEDED"]
    assert image.build_id == f"{REQUEST.tag}-2"
    assert [(build.number, build.started_by_us) for build in noted] == [(2, True)]


def test_of_many_who_wait_for_a_cancelled_build_one_builds_anew(bench: Bench) -> None:
    waits = [bench.begin() for _ in range(3)]
    bench.workshop.cancel(waits[0])
    for build in waits:
        bench.acts = [lambda: None, bench.workshop.finish]
        bench.wait(build)
    assert bench.workshop.states == ["CANCELLED", "SUCCEEDED"]


def test_a_build_that_is_cancelled_again_and_again_is_given_up(bench: Bench) -> None:
    build = bench.begin()

    def cancel() -> None:
        number = bench.workshop.newest(REQUEST.tag)
        bench.workshop.cancel(replace(build, number=number))

    bench.acts = [cancel] * 100
    with pytest.raises(ImageError, match="cancelled") as caught:
        bench.wait(build)
    assert len(bench.workshop.builds) == 1 + building.DEMANDS
    assert "Somebody cancels it" in caught.value.advice


@pytest.mark.parametrize(
    "content", [None, b"no json", b"{}", b'{"category": "cpu", "python": "3.11", "base_image": "evil"}']
)
def test_a_request_that_is_gone_or_of_another_tag_is_not_built(bench: Bench, content: bytes | None) -> None:
    """Who may write to the bucket must not choose what a task builds."""
    build = bench.begin()
    uri = building.request_uri(bench.root, REQUEST.tag)
    bench.ports.store.delete(uri) if content is None else bench.ports.store.write(uri, content)
    bench.workshop.cancel(build)
    bench.acts = [lambda: None]
    with pytest.raises(ImageError, match="cancelled"):
        bench.wait(build)
    assert len(bench.workshop.builds) == 1


def test_a_builder_that_does_not_answer_is_asked_again(bench: Bench) -> None:
    build = bench.begin()
    bench.workshop.fall_silent()
    bench.acts = [lambda: None, bench.workshop.answer_again, bench.workshop.finish]
    assert bench.wait(build).uri == build.uri
    assert sum("no answer about it" in line for line in bench.said) == 2


def test_a_builder_that_never_answers_ends_the_wait(bench: Bench) -> None:
    build = bench.begin()
    bench.workshop.fall_silent()
    bench.acts = [lambda: None] * 100
    with pytest.raises(ClusterError):
        bench.wait(build)


@pytest.mark.parametrize(
    ("ours", "cancels", "fate"),
    [
        (True, True, "the build was cancelled"),
        (True, False, "the build goes on"),
        (False, True, "the build, which another task started, goes on"),
    ],
)
def test_a_task_whose_time_is_over_cancels_the_build_that_it_started(
    bench: Bench, ours: bool, cancels: bool, fate: str
) -> None:
    build = replace(bench.begin(), started_by_us=ours)
    bench.acts = [lambda: None] * 100
    with pytest.raises(JobTimeout, match=r"execution_timeout of 2\.5 s") as caught:
        bench.wait(build, timeout=ExecutionTimeout(2.5, at=2.5), cancels=cancels)
    assert bench.now == 2.5
    assert bench.workshop.states == (["CANCELLED"] if ours and cancels else ["WORKING"])
    assert fate in caught.value.summary


def test_a_build_that_is_over_is_not_waited_for(bench: Bench) -> None:
    build = bench.begin()
    bench.workshop.finish()
    assert bench.wait(build, timeout=ExecutionTimeout(1, at=-1)).uri == build.uri


def test_what_is_there_is_found_with_one_question(bench: Bench) -> None:
    bench.begin()
    bench.workshop.finish()
    (bench.workshop.root / "asked").unlink()
    image = images.ensure(bench.ports, bench.root, REQUEST, bench.said.append)
    assert image.cached
    assert bench.workshop.asked == ["find"]


def test_the_store_keeps_what_a_tag_stands_for(bench: Bench) -> None:
    bench.begin()
    assert building.kept_request(bench.ports.store, bench.root, REQUEST.tag) == REQUEST
    waiting = building.wait_for(Build(REQUEST.tag, "", "", number=1), bench.root, poll=0)
    effects = [next(waiting)]
    effects.append(waiting.send(bench.workshop.status(Build(REQUEST.tag, "", "", number=1))))
    effects.append(waiting.send(None))
    assert [type(effect) for effect in effects] == [building.Inspect, Say, Pause]
    assert effects[2].seconds > 0, "a poll of 0 must not spin"


def test_whoever_is_killed_together_with_the_build_demands_no_other(bench: Bench) -> None:
    class Killed(Exception):
        pass

    def end() -> None:
        raise Killed

    build = bench.begin()
    bench.workshop.cancel(build)
    bench.acts = [end]
    with pytest.raises(Killed):
        bench.wait(build)
    assert bench.workshop.states == ["CANCELLED"]
