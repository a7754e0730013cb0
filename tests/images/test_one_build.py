"""One build for many: workers that need the same tag at the same moment, or die while they ask for it."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from gcs_server import GcsServer
from google_apis_builds import GoogleBuilds
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kinetic.builders import one_build
from airflow_provider_kinetic.builders.claims import LIFETIME, VOID, Claims
from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder, Services
from airflow_provider_kinetic.builders.cloud_build_request import Workshop
from airflow_provider_kinetic.builders.named import NamedBuilder
from airflow_provider_kinetic.builders.one_build import Clock, Demand, Started
from airflow_provider_kinetic.builders.repository import DockerRepository
from airflow_provider_kinetic.hooks.artifact_registry import KineticArtifactRegistryHook
from airflow_provider_kinetic.hooks.cloud_build import KineticCloudBuildHook
from airflow_provider_kinetic.hooks.gcs import KineticGCSHook
from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing
from airflow_provider_kinetic.model.errors import ConfigurationError, ImageError, InfrastructureError
from airflow_provider_kinetic.model.images import Build, BuildOptions, BuildState

BUCKET = "acme-kn-trainer-jobs"
PLACE = DockerRepository("europe", "acme", "kn-trainer")
REQUIREMENTS = "numpy\n"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks are left at once, so that a claim's age is known at once."""
    monkeypatch.setattr(one_build, "MARK", 0.0)
    monkeypatch.setattr(one_build, "POLL", 0.01)


def opened(builds: Callable[[Any], Any] = lambda hook: hook, **options: Any) -> CloudImageBuilder:
    """As a process opens it; ``builds`` may put something around the hook; ``options`` are :class:`BuildOptions`."""

    async def look(_place: str, _id: str) -> None:
        raise AssertionError

    services = Services(
        KineticGCSHook("gcp").store(patience=5),
        KineticArtifactRegistryHook("gcp", PLACE),
        builds(KineticCloudBuildHook(gcp_conn_id="gcp")),
        look,
    )
    shop = Workshop("acme", "trainer", BuildOptions(**options))
    return CloudImageBuilder(PLACE.image, f"gs://{BUCKET}", shop, services, NamedBuilder("gke"))


def start(builder: CloudImageBuilder) -> Build:
    return builder.start(builder.request_for("cpu", REQUIREMENTS), log=lambda _: None)


class Dying:
    """Cloud Build for a worker that is killed ``before`` or ``after`` its build is created."""

    def __init__(self, hook: KineticCloudBuildHook, when: str) -> None:
        self.hook, self.when = hook, when

    def create(self, place: str, build: Mapping[str, Any]) -> dict[str, Any]:
        if self.when == "after":
            self.hook.create(place, build)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hook, name)


def in_process(work: Callable[[Any], None], *arguments: Any) -> Any:
    """A worker forked from this one, with its results in a queue."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def demand(gate: Any, answers: Any) -> None:
    builder = opened()
    gate.wait(30)
    answers.put(start(builder))


def die(when: str) -> None:
    start(opened(lambda hook: Dying(hook, when)))


def killed(when: str) -> None:
    process = in_process(die, when)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def test_processes_that_ask_at_the_same_moment_cause_one_build(google: GoogleBuilds) -> None:
    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(4), context.Queue()
    processes = [in_process(demand, gate, answers) for _ in range(4)]
    builds = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    assert google.asked["builds.create"] == 1
    assert {build.id for build in builds} == {google.only()["id"]}
    assert sum(build.started_by_us for build in builds) == 1


def test_a_build_goes_on_without_the_one_who_started_it(google: GoogleBuilds, gcs: GcsServer) -> None:
    killed("after")
    gcs.buckets[BUCKET].grow_old(LIFETIME + 1)
    build = start(opened())
    assert build.id == google.only()["id"]
    assert (build.number, build.started_by_us) == (1, False)
    google.succeed(google.only())
    assert opened().status(build).state is BuildState.SUCCEEDED
    assert start(opened()).id == build.id, "who comes later needs no new build"


def test_a_claim_whose_owner_died_before_the_build_is_void(google: GoogleBuilds, gcs: GcsServer) -> None:
    killed("before")
    assert google.asked["builds.create"] == 0
    gcs.buckets[BUCKET].grow_old(LIFETIME + 1)
    with ThreadPoolExecutor(3) as pool:
        builds = list(pool.map(lambda _: start(opened()), range(3)))
    assert {build.id for build in builds} == {google.only()["id"]}
    assert {build.number for build in builds} == {2}


def test_a_young_claim_is_waited_for(google: GoogleBuilds) -> None:
    killed("before")
    waiting = threading.Thread(target=lambda: builds.append(start(opened())))
    builds: list[Build] = []
    waiting.start()
    claims = Claims(KineticGCSHook("gcp").store(), f"gs://{BUCKET}", opened().request_for("cpu", REQUIREMENTS).tag)
    while (turn := claims.newest()) is None or turn.age is None:
        waiting.join(0.05)
    assert google.asked["builds.create"] == 0
    claims.settle(1, {"id": "theirs", "log_url": "", "place": "projects/acme/locations/global"})
    google.builds["theirs"] = {
        "id": "theirs",
        "name": "projects/acme/locations/global/builds/theirs",
        "status": "WORKING",
    }
    waiting.join(30)
    assert [(build.id, build.started_by_us) for build in builds] == [("theirs", False)]


def test_a_lost_answer_starts_no_second_build(google: GoogleBuilds) -> None:
    google.faults.append(("builds.create", 0, "the answer is lost"))
    build = start(opened())
    assert build.id == google.only()["id"]
    assert build.started_by_us


def test_a_refused_start_is_told_to_all_who_waited(google: GoogleBuilds) -> None:
    """And tried once, not by each of them."""
    google.forbidden.add("cloudbuild.builds.create")
    asked = threading.Event()

    class Slow(Dying):
        def create(self, place: str, build: Mapping[str, Any]) -> dict[str, Any]:
            asked.wait(30)
            return self.hook.create(place, build)

    def attempt(builder: CloudImageBuilder) -> str:
        with pytest.raises(ImageError, match="may not start builds") as caught:
            start(builder)
        return str(caught.value)

    claims = Claims(KineticGCSHook("gcp").store(), f"gs://{BUCKET}", opened().request_for("cpu", REQUIREMENTS).tag)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(attempt, opened(lambda hook: Slow(hook, "")))
        while claims.newest() is None:
            pass
        others = [pool.submit(attempt, opened()) for _ in range(2)]
        while len([name for name in google.storage.buckets[BUCKET].names() if "/seen-" in name]) < 2:  # type: ignore[union-attr]
            pass
        asked.set()
        told = {each.result(30) for each in (first, *others)}
    assert len(told) == 1
    assert google.asked["builds.create"] == 1


def test_options_that_contradict_one_another_leave_no_claim_behind(google: GoogleBuilds) -> None:
    """What is found out before the start is known to have started nothing: the corrected demand waits for nobody."""
    pool = "projects/acme/locations/europe-west1/workerPools/big"
    with pytest.raises(ConfigurationError, match="`build_region`"):
        start(opened(region="us-east1", worker_pool=pool))
    assert start(opened()).number == 2
    assert google.asked["builds.list"] == 0


@pytest.mark.parametrize("ending", ["FAILURE", "TIMEOUT", "CANCELLED"])
def test_after_a_failure_the_next_demand_builds_at_once(google: GoogleBuilds, ending: str) -> None:
    first, waiting = start(opened()), start(opened())
    google.fail(google.only(), "ERROR: no", status=ending)
    told = [opened().status(replace(each, started_by_us=False)) for each in (first, waiting)]
    assert told[0] == told[1]
    assert told[0].state.terminal
    again = start(opened())
    assert (again.number, again.started_by_us) == (2, True)
    assert opened().status(first) == told[0], "the first one stays as it was told"


def test_a_failure_that_nobody_saw_is_no_obstacle(google: GoogleBuilds) -> None:
    start(opened())
    google.fail(google.only(), "ERROR: no")
    assert start(opened()).number == 2


def test_an_image_that_was_deleted_is_built_anew(google: GoogleBuilds) -> None:
    build = start(opened())
    google.succeed(google.only())
    opened().delete(build.tag)
    assert start(opened()).number == 2


def test_a_claimer_that_was_taken_for_dead_gives_its_build_up(google: GoogleBuilds) -> None:
    class Late(Dying):
        def create(self, place: str, build: Mapping[str, Any]) -> dict[str, Any]:
            made = self.hook.create(place, build)
            if not claims.settle(1, {VOID: "nobody started it"}).get("id"):
                others.append(start(opened()))
            return made

    others: list[Build] = []
    claims = Claims(KineticGCSHook("gcp").store(), f"gs://{BUCKET}", opened().request_for("cpu", REQUIREMENTS).tag)
    build = start(opened(lambda hook: Late(hook, "")))
    assert (build.id, build.started_by_us) == (others[0].id, False)
    assert sorted(each["status"] for each in google.builds.values()) == ["CANCELLED", "QUEUED"]


# --- any interleaving


@dataclass
class Memory:
    """Objects, with a clock that the test moves."""

    now: float = 0.0
    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)

    def read(self, uri: str) -> bytes:
        if uri not in self.objects:
            raise ObjectMissing(uri)
        return self.objects[uri][0]

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        if if_absent and uri in self.objects:
            raise ObjectExists(uri)
        self.objects[uri] = (data, self.now)

    def list(self, prefix: str) -> list[Any]:
        return [Listed(uri, at) for uri, (_, at) in sorted(self.objects.items()) if uri.startswith(prefix)]


@dataclass(frozen=True)
class Listed:
    uri: str
    updated: float


class Death(BaseException):
    """The process ends here."""


class World:
    """Demands that take turns at each call to the outside; some die, answers get lost, time goes by."""

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.memory = dice, Memory()
        self.builds: dict[str, str] = {}
        """Id → nonce."""
        self.cancelled: set[str] = set()
        self.met: list[Started | None] = []
        self.depth = 0

    @property
    def running(self) -> set[str]:
        return set(self.builds) - self.cancelled

    def perhaps_die(self) -> None:
        if self.dice.random() < 0.15:
            raise Death

    def meet(self) -> Started | None:
        """A demand; while it sleeps, others may come."""
        clock = Clock(monotonic=lambda: self.memory.now, sleep=self.pass_by)
        try:
            return Demand(Claims(self.memory, "gs://b", "t"), self, lambda _: None, clock).meet()
        except (Death, InfrastructureError):
            return None

    def pass_by(self, _seconds: float) -> None:
        self.others()
        self.memory.now += self.dice.choice([1.0, 10.0, 40.0])

    def others(self) -> None:
        """While this one does nothing, somebody else may come."""
        if self.depth < 3 and self.dice.random() < 0.3:
            self.depth += 1
            self.met.append(self.meet())
            self.depth -= 1

    def create(self, _number: int, nonce: str) -> Callable[[], dict[str, Any]]:
        self.perhaps_die()
        if self.dice.random() < 0.2:
            self.pass_by(0)
        return lambda: self._created(nonce)

    def _created(self, nonce: str) -> dict[str, Any]:
        slow = self.dice.random() < 0.2
        if slow:  # longer than its claim lasts; who dies after that leaves a build that nobody knows
            self.memory.now += LIFETIME
            self.others()
        else:
            self.perhaps_die()
        if self.dice.random() < 0.2:
            raise InfrastructureError("no answer, and nothing done")
        build_id = f"build-{len(self.builds)}"
        self.builds[build_id] = nonce
        if not slow:
            self.perhaps_die()
        if self.dice.random() < 0.2:
            raise InfrastructureError("no answer, and done all the same")
        return {"id": build_id}

    def adopt(self, nonce: str) -> dict[str, Any] | None:
        return next(({"id": each} for each, carried in self.builds.items() if carried == nonce), None)

    def over(self, _number: int, build: dict[str, Any]) -> dict[str, Any] | None:
        return {"state": "CANCELLED"} if build["id"] in self.cancelled else None

    def cancel(self, build: dict[str, Any]) -> None:
        self.cancelled.add(build["id"])


@settings(max_examples=200, deadline=None)
@given(st.integers())
def test_whoever_dies_there_is_never_more_than_one_build(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(6):
        world.met.append(world.meet())
    assert len(world.running) <= 1
    world.dice.random = lambda: 1.0  # type: ignore[method-assign]
    last = world.meet()
    assert last is not None, "all is well again"
    assert world.running == {last.build["id"]}
    assert {started.build["id"] for started in world.met if started} <= world.running


def test_threads_over_real_files_agree(tmp_path: Path) -> None:
    from airflow_provider_kinetic.job.storage import path_to_uri
    from airflow_provider_kinetic.stores.local import LocalStore

    world = World(random.Random(0))
    world.perhaps_die = lambda: None  # type: ignore[method-assign]
    world.dice.random = lambda: 1.0  # type: ignore[method-assign]
    gate = threading.Barrier(8)

    def meet(_: int) -> Started:
        gate.wait(10)
        return Demand(Claims(LocalStore(), path_to_uri(tmp_path), "t"), world, lambda _: None).meet()

    with ThreadPoolExecutor(8) as pool:
        met = list(pool.map(meet, range(8)))
    assert len(world.builds) == 1
    assert {started.build["id"] for started in met} == {"build-0"}
    assert sum(started.ours for started in met) == 1
