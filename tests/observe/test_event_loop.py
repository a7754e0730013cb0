"""Whatever triggers wait for, they let the event loop go on."""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from execution_api import ExecutionApi
from followers import complete
from tasks import captured_log, triggerer

from airflow_provider_kinetic.model.status import JobState

TRIGGERS = 50
BLOCKING = frozenset(
    {"open", "os.listdir", "os.scandir", "os.remove", "os.rename", "fcntl.flock", "time.sleep", "subprocess.Popen"}
    | {"socket.connect", "socket.getaddrinfo", "import"}
)


class Detector:
    """Hears of every system call of these kinds (PEP 578) and keeps those that an event loop had to wait for."""

    listening: list[str] | None = None

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if self.listening is None or event not in BLOCKING or asyncio._get_running_loop() is None:
            return
        if event == "socket.connect" and isinstance(args[0], socket.socket) and args[0].gettimeout() == 0:
            return  # the loop's own way to connect
        heard, self.listening = self.listening, None  # a stack is read from files, too
        heard.append(f"{event} {args[:1]}\n{''.join(traceback.format_stack(limit=12))}")
        self.listening = heard

    @contextmanager
    def on(self) -> Iterator[list[str]]:
        self.listening = heard = []
        try:
            yield heard
        finally:
            self.listening = None


DETECTOR = Detector()


@pytest.fixture(scope="module", autouse=True)
def installed():
    sys.addaudithook(DETECTOR)  # it cannot be taken out again, only told not to listen


def test_the_detector_hears(tmp_path):
    async def careless():
        (tmp_path / "file").write_text("")

    async def careful():
        await asyncio.to_thread((tmp_path / "file").write_text, "")

    with DETECTOR.on() as heard:
        asyncio.run(careful())
        assert heard == []
        asyncio.run(careless())
    assert len(heard) == 1
    assert "careless" in heard[0]


def test_many_triggers_of_running_jobs_never_block(defer):
    deferred = defer(poll_interval=0.2)
    deferred.print("a line\n" * 1000)
    db, key = deferred.shop.db, deferred.row.key
    fired = []

    async def live(trigger):
        fired.extend([event.payload async for event in trigger.run()])

    async def together(prototype):
        triggers = [type(prototype)(**prototype.serialize()[1]) for _ in range(TRIGGERS)]
        for trigger in triggers:
            trigger.task_instance = prototype.task_instance
        lives = [asyncio.create_task(live(trigger)) for trigger in triggers]
        await asyncio.sleep(1)
        await asyncio.to_thread(deferred.shop.open_gate)
        await asyncio.gather(*lives)

    with captured_log(), triggerer(ExecutionApi(db), db, key) as prototype:
        asyncio.run(_warm(prototype))
        with DETECTOR.on() as heard:
            asyncio.run(together(prototype))

    assert heard == [], f"{len(heard)} times, first {heard[0]}"
    assert [payload["status"]["state"] for payload in fired] == [JobState.SUCCEEDED.value] * TRIGGERS


def test_many_triggers_of_watched_jobs_never_block(watched):
    handles = [watched.submit() for _ in range(TRIGGERS)]
    fired = []

    async def live(trigger):
        fired.extend([event.payload async for event in trigger.run()])

    async def first():
        with suppress(TimeoutError):
            await asyncio.wait_for(live(watched.trigger(handles[0], poll=0.05)), 1)

    async def together():
        lives = [asyncio.create_task(live(watched.trigger(handle, poll=0.05))) for handle in handles]
        await asyncio.sleep(0.5)
        watched.place.server.cut()
        for handle in handles:
            await asyncio.to_thread(watched.finish, handle)
        await asyncio.gather(*lives)

    with captured_log():
        complete(first())
        with DETECTOR.on() as heard:
            complete(together())

    assert heard == [], f"{len(heard)} times, first {heard[0]}"
    assert [payload["status"]["state"] for payload in fired] == [JobState.SUCCEEDED.value] * TRIGGERS


async def _warm(prototype):
    """First imports are once in the life of a triggerer."""
    prototype.fire_after = 0
    first = asyncio.create_task(anext(prototype.run()))
    await asyncio.sleep(0.5)
    first.cancel()
    await asyncio.wait([first])


def test_a_chatty_job_leaves_the_others_their_lines(defer):
    deferred = defer(poll_interval=0.05)
    deferred.print("noise\n" * 5000)
    shop, db = deferred.shop, deferred.shop.db
    from dataclasses import replace

    quiet = replace(deferred.handle, output_dir=(shop.folder / "quiet").as_uri(), job_id="job-quiet")
    shop.ports.store.write(f"{quiet.logs}0001-00000001.log", b"a word\n")

    async def beside(chatty):
        chatty.lines_per_second = 10.0
        running = asyncio.create_task(anext(chatty.run()))
        await asyncio.sleep(0.5)
        other = type(chatty)(**{**chatty.serialize()[1], "job": quiet.to_dict()})
        running_other = asyncio.create_task(anext(other.run()))
        await asyncio.sleep(0.5)
        for task in (running, running_other):
            task.cancel()
        await asyncio.wait([running, running_other])

    with captured_log() as log, triggerer(ExecutionApi(db), db, deferred.row.key) as chatty:
        asyncio.run(beside(chatty))

    assert log.count("noise") == 5000
    assert "a word" in log
