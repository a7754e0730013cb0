"""Task instances through Airflow's own task runner and trigger protocol, without a database.

``run`` takes one try from its start to its end: worker leg, trigger, worker leg, and so on, with everything
that crosses a process border serialized as Airflow would. What happens between two tries (a retry, a clear) is said to
the :class:`Installation`. ``work`` and ``watch`` are the single legs, for tests that end a process in between.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import masks
import psutil
import structlog
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.sdk.api.client import Client
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, TaskRunResult, set_supervisor_comms
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseTrigger, TriggerEvent
from execution_api import ExecutionApi
from installation import Installation, TaskKey

USER_ACTION = "cancelled by a user's action"
TICK = 0.05
"""Seconds between two looks of the triggerer at what is still its own."""


@dataclass(frozen=True)
class TaskResult:
    """How one try ended."""

    key: TaskKey
    state: str
    error: BaseException | None
    xcoms: dict[str, Any]
    """By name, as a downstream task would pull them."""
    deferrals: list[dict[str, Any]] = field(default_factory=list)
    """The DeferTask messages: ``classpath``, ``trigger_kwargs``, ``trigger_timeout``, ``next_method``."""
    events: list[Any] = field(default_factory=list)
    """Payloads of the trigger's events."""
    log: list[str] = field(default_factory=list)

    @property
    def value(self) -> Any:
        """What the task returned. One that failed returned nothing, and says here what it failed of."""
        assert self.error is None, "\n".join([f"{type(self.error).__name__}: {self.error}", *self.log[-50:]])
        return self.xcoms.get("return_value")


def run(task: Any, db: Installation, *, run_id: str = "run_1", map_index: int = -1) -> TaskResult:
    """Run the queued try of ``task`` (an operator of a DAG) to its end.

    The first call queues the first try; later ones need ``db.retry``, ``db.clear`` before them.
    """
    key = TaskKey(task.dag_id, task.task_id, run_id, map_index)
    db.queue(key, max_tries=task.retries or 0, operator=task.task_type)
    deferrals, events = [], []
    with captured_log() as log:
        while (outcome := work(task, db, key)) and (trigger := db.rows[key].trigger) is not None:
            deferrals.append(trigger)
            events.append(watch(db, key))
    xcoms = {name: deserialize(db.xcom(key, name)) for name in db.xcom_names(key)}
    return TaskResult(key, str(db.rows[key].state), outcome.error, xcoms, deferrals, events, log)


def work(task: Any, db: Installation, key: TaskKey, *, api: ExecutionApi | None = None) -> TaskRunResult:
    """One leg on a worker: from the start, or from the resume of a deferred task, to whatever comes next."""
    dto = _dto(db, key)
    masks.forget()
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        outcome = InProcessTestSupervisor.start(what=dto, task=task, client=client(api or ExecutionApi(db)))
    finally:
        signal.signal(signal.SIGTERM, sigterm)
    seen = db.rows[key].state
    assert seen in (outcome.state, "restarting"), f"the server has {seen}, the worker says {outcome.state}"
    return outcome


def watch(
    db: Installation,
    key: TaskKey,
    *,
    api: ExecutionApi | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Any:
    """The triggerer runs the trigger until it fires and queues the task again; returns the event's payload.

    A trigger that raises, or ends without an event, sends the task back to fail, as the real one does. When the task
    is taken away from it (cleared, marked) its ``on_kill`` runs. ``meanwhile`` is called all the time; it may change
    ``db`` and it may raise :class:`Shutdown`.
    """
    with triggerer(api or ExecutionApi(db), db, key) as trigger:
        try:
            events = asyncio.run(_run_trigger(trigger, db, key, meanwhile))
        except Shutdown:
            return None
        except Exception as error:
            trace = traceback.format_exception(error)
            db.resume(key, "__fail__", {"error": "Trigger failure", "traceback": trace})
            return None
    if not events:
        return None
    kwargs = deserialize(db.rows[key].next_kwargs or {})
    db.resume(key, str(db.rows[key].next_method), serialize({**kwargs, "event": events[0].payload}))
    return events[0].payload


class Shutdown(Exception):
    """The triggerer was asked to end: triggers are cleaned up, not killed, and run again elsewhere."""


def expire(db: Installation, key: TaskKey) -> None:
    """The time given to ``defer(timeout=)`` is over."""
    db.resume(key, "__fail__", {"error": "Trigger timeout"})


async def _run_trigger(
    trigger: BaseTrigger, db: Installation, key: TaskKey, meanwhile: Callable[[], object]
) -> list[TriggerEvent]:
    """As ``TriggerRunner``: cancelled by a user's action it is cancelled once more a second later (``airflow`` 0.2)."""
    running = asyncio.create_task(_guarded(trigger))
    mine = db.rows[key].id
    try:
        while not running.done():
            await asyncio.wait([running], timeout=TICK)
            meanwhile()
            db.refresh()
            if db.rows[key].id != mine or db.rows[key].trigger is None:
                running.cancel(USER_ACTION)
                await asyncio.wait([running], timeout=1)
                running.cancel(USER_ACTION)
                return []
        assert running.result(), f"{type(trigger).__name__} ended without an event"
        return running.result()
    finally:
        running.cancel()
        background = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*background, return_exceptions=True), 60)


async def _guarded(trigger: BaseTrigger) -> list[TriggerEvent]:
    """As ``TriggerRunner.run_trigger``."""
    try:
        return [event async for event in trigger.run()]
    except asyncio.CancelledError as cancelled:
        if cancelled.args == (USER_ACTION,):
            await trigger.on_kill()
        raise
    finally:
        await trigger.cleanup()


@contextmanager
def triggerer(api: ExecutionApi, db: Installation, key: TaskKey) -> Iterator[BaseTrigger]:
    """The trigger of a deferred task instance, built from what the server kept of it, with the comms of a triggerer."""
    row, dto = db.rows[key], _dto(db, key)
    assert row.trigger is not None, f"{key} is {row.state}, not deferred"
    trigger: BaseTrigger = import_string(row.trigger["classpath"])(**deserialize(row.trigger["trigger_kwargs"]))
    trigger.task_instance, trigger.trigger_id = dto, 1
    supervisor = InProcessTestSupervisor(
        id=dto.id,
        pid=os.getpid(),
        process=psutil.Process(),
        process_log=structlog.get_logger("task").bind(),
        client=client(api),
    )
    supervisor.comms = TriggererComms(supervisor)  # type: ignore[assignment]
    with set_supervisor_comms(supervisor.comms):
        yield trigger


class TriggererComms:
    """What triggers may ask: many at a time, from coroutines and from threads, and never for the task state store."""

    def __init__(self, supervisor: InProcessTestSupervisor) -> None:
        self.supervisor = supervisor
        self.messages: list[Any] = []
        self.lock = threading.Lock()
        self.holder = 0

    def send(self, msg: Any) -> Any:
        """What the supervisor itself says while it answers (it masks secrets) would stay in its own process."""
        assert "TaskStateStore" not in type(msg).__name__, "a trigger has no task state store"
        if self.holder == threading.get_ident():
            return None
        with self.lock:
            self.holder = threading.get_ident()
            try:
                self.supervisor._handle_request(msg, structlog.get_logger("task"), 0)
                return self.messages.pop()
            finally:
                self.holder = 0

    async def asend(self, msg: Any) -> Any:
        return await asyncio.to_thread(self.send, msg)


def client(api: ExecutionApi) -> Client:
    return Client(base_url="http://execution.invalid/", token="", transport=httpx.MockTransport(api))


def _dto(db: Installation, key: TaskKey) -> TaskInstanceDTO:
    row = db.rows[key]
    return TaskInstanceDTO(
        id=UUID(row.id),
        **key._asdict(),
        try_number=row.try_number,
        dag_version_id=uuid4(),
        queue="default",
        pool_slots=1,
        priority_weight=1,
    )


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """The lines that would be in the task's log: of Airflow's structured loggers and of the standard library's."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    def collect(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        args = event.pop("positional_args", ())
        lines.append(str(event.get("event")) % args if args else str(event.get("event")))
        if event.get("exc_info") not in (None, False):
            lines.append(traceback.format_exc())
        raise structlog.DropEvent

    handler, root = Handler(logging.INFO), logging.getLogger()
    level, processors = root.level, structlog.get_config()["processors"]
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    structlog.configure(processors=[collect])
    try:
        yield lines
    finally:
        structlog.configure(processors=processors)
        root.removeHandler(handler)
        root.setLevel(level)
