"""One job from its place in the queue to its end.

Meanings are those of a Kubernetes Job with ``backoffLimit: 0`` and a ``podFailurePolicy`` that ignores disruptions.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

from .attempt import Attempt
from .files import (
    NODE,
    ORDER,
    OUTPUT,
    PREEMPT,
    SECRETS,
    STATE,
    STOP,
    boot_id,
    discard,
    inherited,
    pid_namespace,
    write_json,
)
from .slots import Queue
from .wakeups import Wakeups

TYPE_CHECKING = False
if TYPE_CHECKING:  # not from typing: its import would cost every job 5 ms
    from typing import Any

REQUEST_POLL = 0.5
"""Longest time in seconds that a request waits when the signal that announces it was lost."""
QUEUE_POLL = 0.2
RESTART_PAUSE = 1.0
TERMINATION_LIMIT = 4096
"""Bytes; Kubernetes, ``terminationMessagePath``."""


class Node:
    """One job, from its place in the queue to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order: dict[str, Any] = json.loads((folder / ORDER).read_text())
        self.state: dict[str, Any] = {"phase": "starting", "attempts": 0, "preemptions": 0}
        self.wakeups = Wakeups()
        self.attempt: Attempt | None = None
        self.over = False
        self.restart_at = 0.0
        self.grace: float = self.order["stop_grace"]
        limit = self.order["active_deadline"]
        left = float("inf") if limit is None else self.order["created_at"] + limit - time.time()
        self.deadline = time.monotonic() + left
        ticket = f"{int(self.order['created_at'] * 1e6):018d}.{folder.parent.name}.{folder.name}"
        self.queue = Queue(folder.parent.parent, self.order["slots"], ticket)

    def run(self) -> None:
        """The loop: look at everything, then sleep until something happens."""
        write_json(
            self.folder / NODE,
            {"pid": os.getpid(), "pid_namespace": pid_namespace(), "boot_id": boot_id(), "started_at": time.time()},
        )
        try:
            self.turn()
            while not self.over:
                self.wakeups.sleep(self.next_look())
                self.turn()
        finally:
            if self.attempt is not None:
                self.attempt.signal(signal.SIGKILL)
            self.queue.leave()

    def next_look(self) -> float:
        """Seconds until something is due; what was due before now has been done."""
        now = time.monotonic()
        due = [now + (QUEUE_POLL if self.attempt is None else REQUEST_POLL), self.deadline, self.restart_at]
        if self.attempt is not None and self.attempt.kill_at is not None:
            due.append(self.attempt.kill_at)
        return max(0.01, min(moment for moment in due if moment > now) - now)

    def turn(self) -> None:
        if self.attempt is None:
            self.advance()
            return
        code = self.attempt.watch()
        if code is None:
            self.heed(self.attempt)
        else:
            self.ended(self.attempt, code)

    def advance(self) -> None:
        """No process runs: it waits for a slot or for its next attempt."""
        if self.deletion_asked():
            self.remove()
        elif self.wakeups.terminated:
            self.interrupted()
        elif time.monotonic() >= self.deadline:
            self.finish("deadline")
        elif self.state["phase"] == "restarting":
            if time.monotonic() >= self.restart_at:
                self.start()
        elif self.queue.take():
            self.start()
        elif self.state["phase"] != "queued":
            self.note(phase="queued")

    def heed(self, attempt: Attempt) -> None:
        """A process runs: does anybody want it to stop?"""
        if attempt.cause != "delete" and self.deletion_asked():
            attempt.stop("delete", self.grace)
        elif not attempt.cause and self.wakeups.terminated:
            attempt.stop("shutdown", self.grace)
        elif not attempt.cause and time.monotonic() >= self.deadline:
            attempt.stop("deadline", self.grace)
        elif attempt.cause in ("", "preempt"):
            wish = self.preemption_asked()
            if wish:
                attempt.stop("preempt", 0.0 if wish == "hard" else self.grace)

    def deletion_asked(self) -> bool:
        """By a request, or by somebody who removed the folder by hand."""
        return (self.folder / STOP).exists() or not (self.folder / ORDER).exists()

    def preemption_asked(self) -> str:
        """The request, which is spent by reading it."""
        path = self.folder / PREEMPT
        try:
            wish = path.read_text()
        except FileNotFoundError:
            return ""
        path.unlink(missing_ok=True)
        return wish

    def start(self) -> None:
        """The next attempt."""
        number = self.state["attempts"] + 1
        scratch = self.folder / f"scratch-{number:04d}"
        scratch.mkdir(mode=0o700)
        output = self.folder / OUTPUT
        self.preemption_asked()  # one that came while nothing ran has nothing to take away
        offset = output.stat().st_size if output.exists() else 0
        try:
            self.attempt = Attempt(self.order["argv"], self.environment(number), scratch, output)
        except (OSError, ValueError) as refused:
            shutil.rmtree(scratch, ignore_errors=True)
            self.finish("unstartable", error=str(refused))
            return
        now = time.time()
        first = self.state.get("started_at") or now
        self.note(phase="running", attempts=number, started_at=first, offset=offset, group=self.attempt.process.pid)

    def environment(self, attempt: int) -> dict[str, str]:
        """A clean one: the machine's, the manifest's, the secrets, and where to leave the last words."""
        env = inherited(os.environ)
        interpreter = self.order["interpreter"]
        if interpreter:
            env["PATH"] = f"{Path(interpreter).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        env.update(self.order["env"])
        secrets = self.folder / SECRETS
        if secrets.exists():
            env.update(json.loads(secrets.read_text()))
        env[self.order["termination_variable"]] = str(self.termination(attempt))
        return env

    def termination(self, attempt: int) -> Path:
        return self.folder / f"termination-{attempt:04d}"

    def ended(self, attempt: Attempt, code: int) -> None:
        """The process has ended: restart it, or is that the end of the job?"""
        self.attempt = None
        decisive = code in (0, *self.order["final_exits"])
        if attempt.cause == "delete":
            self.remove()
        elif attempt.cause == "deadline":
            self.finish("deadline", code=code)
        elif attempt.cause == "preempt" and not decisive:
            self.restart_at = time.monotonic() + RESTART_PAUSE
            self.note(phase="restarting", preemptions=self.state["preemptions"] + 1, group=None)
        elif attempt.cause == "shutdown" and not decisive:
            self.interrupted()
        else:
            self.finish("exit", code=code)

    def note(self, **facts: object) -> None:
        self.state.update(facts)
        write_json(self.folder / STATE, self.state)

    def finish(self, ending: str, *, code: int | None = None, error: str = "") -> None:
        """Final: the folder stays until somebody deletes it, without the secrets."""
        (self.folder / SECRETS).unlink(missing_ok=True)
        self.note(
            phase="ended",
            ending=ending,
            code=code,
            error=error,
            termination=self.last_words(),
            finished_at=time.time(),
            group=None,
        )
        self.over = True

    def last_words(self) -> str:
        """The termination message of the last attempt; empty where it left none."""
        try:
            with self.termination(self.state["attempts"]).open("rb") as file:
                return file.read(TERMINATION_LIMIT).decode("utf-8", "replace")
        except OSError:
            return ""

    def interrupted(self) -> None:
        """The machine shuts down: the job is not final, its readers will find it vanished."""
        (self.folder / SECRETS).unlink(missing_ok=True)
        self.note(interrupted=True, group=None)
        self.over = True

    def remove(self) -> None:
        self.over = True
        self.queue.leave()
        discard(self.folder)


def main(folder: str) -> None:
    """Run the job in ``folder``. The caller has taken its lock and handed the descriptor down to this process."""
    Node(Path(folder)).run()
