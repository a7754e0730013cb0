"""The measured process: Airflow's own ``TriggerRunner``, its log going to a socket, its supervisor played by us.

Real are the runner's main loop with its housekeeping each second, the making of triggers from encrypted arguments,
a task for each trigger with greenback's portal, the watchdog and the JSON log. Missing are the database and the
supervisor's pipe: new triggers come from a list, and events go nowhere once the time at which they were fired is kept.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

from support.api_server import Place
from support.contenders import ALL, Contender

TICK = 0.01
"""Seconds between two heartbeats."""


@dataclass(frozen=True)
class Usage:
    """What the process has used until now: seconds of CPU, KiB of resident memory; ``at`` by the monotonic clock."""

    at: float
    cpu: float
    kibibytes: float

    @classmethod
    def now(cls) -> Usage:
        import psutil

        return cls(time.monotonic(), time.process_time(), psutil.Process().memory_info().rss / 1024)


@dataclass(frozen=True)
class Fired:
    """An event: the job's number, the monotonic time, whether it says that the job succeeded."""

    index: int
    at: float
    succeeded: bool


@dataclass
class Heartbeat:
    """How late the loop is, in seconds, as something due every 10 ms sees it.

    A loop that stands still for 100 ms has made ten beats late, by 100, 90, ... ms.
    """

    late: list[float] = field(default_factory=list)

    async def beat(self) -> None:
        due = time.monotonic() + TICK
        while True:
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            while due <= now:
                self.late.append(now - due)
                due += TICK

    def take(self) -> list[float]:
        taken, self.late = self.late, []
        return taken


class Orders:
    """What the benchmark asks for while the loop runs."""

    def __init__(self, control: Connection, runner: Any, contender: Contender, place: Place) -> None:
        self._control = control
        self._runner = runner
        self._contender = contender
        self._place = place
        self._heartbeat = Heartbeat()
        self._waiting: list[Any] = []

    async def follow(self) -> None:
        beating = asyncio.create_task(self._heartbeat.beat())
        thread = ThreadPoolExecutor(1)
        orders = {"prepare": self._prepare, "start": self._start, "usage": Usage.now, "late": self._heartbeat.take}
        orders |= {"count": lambda: len(self._runner.fired), "fired": lambda: self._runner.fired}
        orders |= {"alive": lambda: len(self._runner.triggers), "wake": _wake}
        self._control.send("ready")
        while True:
            order, *arguments = await asyncio.get_running_loop().run_in_executor(thread, self._control.recv)
            if order == "end":
                os._exit(0)
            assert not beating.done()
            self._control.send(orders[order](*arguments))

    def _prepare(self, size: int) -> None:
        """What the database would hold. The classes are imported: that happens once in the life of a triggerer."""
        from airflow.executors.workloads import RunTrigger
        from airflow.models.trigger import Trigger

        self._runner.get_trigger_by_classpath(self._contender.classpath)
        for index in range(size):
            arguments = Trigger.encrypt_kwargs(self._contender.arguments(index, self._place))
            made = RunTrigger(id=index, classpath=self._contender.classpath, encrypted_kwargs=arguments)
            self._waiting.append(made)
        gc.collect()

    def _start(self) -> Usage:
        """All at once, where Airflow hands over some 50 a second."""
        before = Usage.now()
        self._runner.to_create.extend(self._waiting)
        self._waiting = []
        return before


def _wake() -> float:
    from support.sleeping import wake

    return wake()


def run(control: Connection, log: socket.socket, name: str, place: Place, environ: dict[str, str]) -> None:
    """The process: does as ``control`` tells it."""
    os.environ.update({**environ, "_AIRFLOW_PROCESS_CONTEXT": "client"})
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.sdk.log import configure_logging

    output = os.fdopen(log.detach(), "wb", buffering=0)
    configure_logging(json_output=True, output=output, sending_to_supervisor=True)

    class Runner(TriggerRunner):  # type: ignore[misc]
        fired: list[Fired]

        async def init_comms(self) -> None:
            self.comms_decoder = SimpleNamespace(_reader_task=asyncio.create_task(orders.follow()))

        async def sync_state_to_supervisor(self, *_: Any) -> None:
            """Nothing to tell; new triggers are in the queue already."""
            self.events.clear()

        async def run_trigger(self, trigger_id: int, trigger: Any, *args: Any) -> None:
            """As Airflow runs it, with a look at the clock when the trigger fires, before Airflow logs that."""
            run = trigger.run

            async def timed() -> AsyncIterator[Any]:
                async for event in run():
                    self.fired.append(Fired(trigger_id, time.monotonic(), contender.succeeded(event.payload)))
                    yield event

            trigger.run = timed
            await super().run_trigger(trigger_id, trigger, *args)

    contender = ALL[name]
    runner = Runner()
    runner.fired = []
    orders = Orders(control, runner, contender, place)
    asyncio.run(runner.arun())
