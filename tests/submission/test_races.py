"""Two submitters under one record: whatever the moment, one job comes out, and it is the one that is stored."""

from __future__ import annotations

import hashlib
import pickle
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from project import until

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.lifecycle.collect import collect
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.submission import Step, SubmissionRecord
from airflow_provider_kinetic.lifecycle.submit import Submitted, ensure
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.errors import JobConflict, StoreError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity

STEPS = ("upload payload.pkl", "upload context.zip", "upload runner.pyz", "write handle.json", "create")


@dataclass
class Memory:
    """A task instance's durable memory."""

    record: SubmissionRecord | None = None

    def load(self) -> SubmissionRecord | None:
        return self.record

    def save(self, record: SubmissionRecord) -> None:
        self.record = record


class Interrupted:
    """A port that lets something happen just before the call that ``moment`` names, once."""

    def __init__(self, port: Any, moment: str, happens: Callable[[], object]) -> None:
        self._port, self._moment, self._happens = port, moment, [happens]

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            uri = next((arg for arg in args if isinstance(arg, str)), "")
            if self._moment == " ".join([name, *([uri.rpartition("/")[2]] if uri else [])]) and self._happens:
                self._happens.pop()()
            return getattr(self._port, name)(*args, **kwargs)

        return call


@dataclass
class Submitter:
    """One try of one task instance."""

    ports: Ports
    target: Any
    work: Work
    memory: Memory
    said: list[str]

    def submit(self) -> Submitted:
        return ensure(self.ports, self.target, self.work, self.memory, self.said.append)

    def interrupted(self, moment: str, happens: Callable[[], object]) -> Submitter:
        ports: Any = (Interrupted(port, moment, happens) for port in (self.ports.cluster, self.ports.store))
        return replace(self, ports=Ports(*ports, self.ports.builder))


@pytest.fixture
def submitter(shop):
    """``submitter(argument)``: a try that would submit this call."""
    function = shop.job(
        "def f(argument):\n    if argument == 'wait': at_the_gate('{gate}')\n    return argument"
    ).python_callable
    hook = KineticHook()
    memory = Memory()

    def make(argument="first", *, task_id="job", **spec: Any) -> Submitter:
        wanted = JobSpec(func_name="f", accelerator="cpu", container_image=sys.executable, **spec)
        identity = TaskIdentity("shop", task_id, "run_1")
        work = Work(function, (argument,), {}, wanted, identity, max_tries=1, secrets={})
        return Submitter(hook.ports, hook.target, work, memory, [])

    return make


def value(shop, handle):
    until(lambda: shop.ports.cluster.status(handle).state.terminal)
    return collect(shop.ports, handle, shop.ports.cluster.status(handle))


@pytest.mark.parametrize("moment", STEPS)
def test_one_job_comes_out(shop, submitter, moment):
    others: list[Submitted] = []
    first = submitter("first").interrupted(moment, lambda: others.append(submitter("second").submit()))

    ours = first.submit()

    assert len(shop.ports.cluster.list()) == 1
    assert (others[0].step, ours.step) == (Step.SUBMIT, Step.ADOPT)
    assert ours.handle == others[0].handle
    stored = {
        name: hashlib.sha256(shop.ports.store.read(ours.handle.artifact(name))).hexdigest()
        for name in (protocol.PAYLOAD, protocol.CONTEXT, protocol.RUNNER)
    }
    told = (ours.handle.payload_sha256, ours.handle.context_sha256, ours.handle.runner_sha256)
    assert tuple(stored.values()) == told
    payload = pickle.loads(shop.ports.store.read(ours.handle.artifact(protocol.PAYLOAD)))
    assert value(shop, ours.handle) == payload["args"][0], "the call that is stored is the one that ran"
    kept = JobHandle.from_json(shop.ports.store.read(ours.handle.kept(protocol.HANDLE)))
    assert JobHandle.from_json(shop.ports.store.read(ours.handle.artifact(protocol.HANDLE))) == kept == ours.handle


def test_a_handle_of_another_task_under_our_id_is_a_conflict(shop, submitter):
    other = submitter(task_id="other")
    ours = submitter().interrupted("write handle.json", lambda: other.submit())

    with pytest.raises(JobConflict, match="'other'"):
        ours.submit()

    assert len(shop.ports.cluster.list()) == 1


def test_a_job_of_another_task_under_our_id_is_a_conflict(submitter):
    submitter("wait", task_id="other").submit()

    with pytest.raises(JobConflict, match="belongs to another task") as told:
        submitter().submit()

    assert "Clear the task" in told.value.advice


def test_a_try_whose_settings_have_changed_follows_the_job_and_says_so(submitter):
    first = submitter("wait").submit()
    second = submitter("wait", env={"LEVEL": "2"})

    again = second.submit()

    assert (again.step, again.handle) == (Step.ADOPT, first.handle)
    assert "Settings of the task were changed" in "\n".join(second.said)


def test_a_try_whose_timeouts_have_changed_follows_the_job_without_a_word(submitter):
    submitter("wait").submit()
    second = submitter("wait", run_timeout=60.0, labels={"team": "a"})

    assert second.submit().step is Step.ADOPT
    assert "Settings" not in "\n".join(second.said)


PARTS = (protocol.PAYLOAD, protocol.CONTEXT, protocol.RUNNER)


class Broken:
    """A store that takes only what it is told to, and fails at the rest: its submitter dies with that much sent."""

    def __init__(self, store: Any, takes: set[str]) -> None:
        self._store, self._arrived = store, {place: threading.Event() for place in takes}

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            place = _place(next((arg for arg in args if isinstance(arg, str)), ""))
            if name in ("upload", "write") and place not in self._arrived:
                for arrived in self._arrived.values():  # the first failure calls off what has not begun
                    arrived.wait(20)
                raise StoreError("The store is gone.")
            answer = getattr(self._store, name)(*args, **kwargs)
            if name in ("upload", "write"):
                self._arrived[place].set()
            return answer

        return call


def _place(uri: str) -> str:
    """What an upload is: both handles have one name."""
    name = uri.rpartition("/")[2]
    if name == protocol.HANDLE:
        return "kept handle" if "/.kinetic/" in uri else "handle"
    return name if name in (*PARTS, protocol.REQUIREMENTS) else "pointer"


@pytest.mark.parametrize("many", range(6))
@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_dead_submitter_had_sent_the_next_one_completes_it(shop, submitter, many, seed):
    """Uploads go at the same time, so any of them may be the ones that arrived."""
    places = [*PARTS, "handle", "kept handle", "pointer"]
    takes = set(random.Random(100 * seed + many).sample(places, many))
    first = submitter("first")
    broken: Any = Broken(first.ports.store, takes)
    with pytest.raises(StoreError):
        replace(first, ports=replace(first.ports, store=broken)).submit()

    second = submitter("second").submit()

    store, handle = shop.ports.store, second.handle
    assert second.step is Step.SUBMIT
    told = (handle.payload_sha256, handle.context_sha256, handle.runner_sha256)
    assert told == tuple(hashlib.sha256(store.read(handle.artifact(name))).hexdigest() for name in PARTS)
    stored = [
        JobHandle.from_json(store.read(uri)) for uri in (handle.artifact("handle.json"), handle.kept("handle.json"))
    ]
    assert stored == [handle, handle]
    assert value(shop, handle) == ("first" if protocol.PAYLOAD in takes else "second")


def test_a_retry_after_the_record_alone_submits_under_the_same_id(shop, submitter):
    first = submitter()
    record = SubmissionRecord.first(max_tries=1)
    first.memory.save(replace(record, output_dir=(shop.folder / "out").as_uri()))

    submitted = first.submit()

    assert (submitted.step, submitted.handle.job_id) == (Step.SUBMIT, record.job_id)
    assert value(shop, submitted.handle) == "first"


@pytest.mark.parametrize(
    "sent",
    [set(), {"requirements.txt"}, {"handle.json"}, {"requirements.txt", "handle.json"}],
    ids=["nothing", "requirements", "handle", "both"],
)
@pytest.mark.parametrize("later", ["scipy\n", None])
def test_the_job_installs_the_requirements_that_are_there(cloud_shop, sent, later):
    """A try dies in a prebuilt image's submission, the task's requirements are edited, the next try goes on."""
    function = cloud_shop.job("def f(): return 1").python_callable
    hook, memory = KineticHook(), Memory()

    def submitting(ports: Ports, requirements: str | None) -> Submitter:
        image = {"container_image": "prebuilt", "base_image_repo": "acme"}
        spec = JobSpec(func_name="f", accelerator="cpu", requirements=requirements, **image)
        identity = TaskIdentity("shop", "job", "run_1")
        return Submitter(ports, hook.target, Work(function, (), {}, spec, identity, 1, {}), memory, [])

    broken: Any = Broken(hook.ports.store, {name.removesuffix(".json") for name in sent})
    with pytest.raises(StoreError):
        submitting(replace(hook.ports, store=broken), "numpy\n").submit()

    handle = submitting(hook.ports, later).submit().handle

    (job,) = cloud_shop.jobs
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert told.get("--requirements-sha256") == handle.requirements_sha256
    if later is None:
        assert handle.requirements_sha256 is None
    else:
        there = hook.ports.store.read(told["--requirements-gcs"])
        assert there == (b"numpy\n" if "requirements.txt" in sent else b"scipy\n")
        assert hashlib.sha256(there).hexdigest() == handle.requirements_sha256
    stored = hook.ports.store.read(handle.artifact(protocol.HANDLE))
    assert JobHandle.from_json(stored) == handle
