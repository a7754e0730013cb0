"""The job's output, kept in the store in numbered chunks so that it outlives the machine.

Chunks are never rewritten: a reader needs only the name of the last one it has seen (``design`` 3.11).
The store may be slow or away; the output then waits in memory up to a limit, and what had to be dropped
is said in the log itself. Nothing here ever stops the user's code.
"""

from __future__ import annotations

import os
import threading
import time

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectExists, Storage

INTERVAL = 2.0
"""Seconds between two chunks of a job that prints little."""
EAGER = 64 * 1024
"""Bytes that are sent without waiting."""
CHUNK_LIMIT = 1024 * 1024
BUFFER_LIMIT = 8 * 1024 * 1024
LAST_FLUSH = 15.0
"""Longest time in seconds that the end of a job waits for the store."""


class ChunkNames:
    """URIs of one attempt's chunks, in order, from number 1."""

    def __init__(self, layout: TrialLayout, job_id: str, attempt: int) -> None:
        self.layout = layout
        self.job_id = job_id
        self.attempt = attempt

    def uri(self, sequence: int) -> str:
        return self.layout.log_chunk(self.job_id, self.attempt, sequence)


class Backlog:
    """Output that is not stored yet. Bounded: the oldest goes first."""

    def __init__(self, limit: int = BUFFER_LIMIT) -> None:
        self.limit = limit
        self.data = bytearray()
        self.dropped = 0

    def add(self, data: bytes) -> None:
        self.data += data
        excess = len(self.data) - self.limit
        if excess > 0:
            cut = self.data.find(b"\n", excess, excess + EAGER) + 1 or excess
            del self.data[:cut]
            self.dropped += cut

    def take(self, *, partial: bool) -> bytes:
        """The next chunk. It ends with a line; what follows the last line end only if ``partial``."""
        notice = b""
        if self.dropped:
            notice = b"[kinetic] %d bytes of output are missing here: the store did not take them\n" % self.dropped
            self.dropped = 0
        head = bytes(self.data[:CHUNK_LIMIT])
        end = max(head.rfind(b"\n"), head.rfind(b"\r")) + 1
        full = len(head) == CHUNK_LIMIT
        if (partial and not full) or (full and not end):
            end = len(head)
        del self.data[:end]
        return notice + head[:end]


class LogShipper:
    """Takes bytes at any speed and stores them from a thread of its own. Start it after the last fork."""

    def __init__(self, storage: Storage, names: ChunkNames) -> None:
        self.storage = storage
        self.names = names
        self.backlog = Backlog()
        self.sequence = 1
        self.unsent = b""
        self.held_back = False
        self.warned = False
        self.closing_at: float | None = None
        self.lock = threading.Lock()
        self.wake = threading.Event()
        self.thread = threading.Thread(target=self._run, name="kinetic-logs", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def feed(self, data: bytes) -> None:
        with self.lock:
            self.backlog.add(data)
            full = len(self.backlog.data) >= EAGER
        if full:
            self.wake.set()

    def flush(self) -> None:
        """Send what there is without waiting for the next round."""
        self.wake.set()

    def close(self, timeout: float = LAST_FLUSH) -> None:
        """Store the rest, for at most ``timeout`` seconds."""
        self.closing_at = time.monotonic() + timeout
        self.wake.set()
        self.thread.join(timeout)

    def _run(self) -> None:
        while True:
            woken = self.wake.wait(INTERVAL)
            self.wake.clear()
            idle = not woken and self.held_back
            delivered = self._ship(partial=idle or self.closing_at is not None)
            if self.closing_at is not None and (delivered or time.monotonic() > self.closing_at):
                return
            if not delivered and (woken or self.closing_at is not None):
                time.sleep(0.2)  # the store is away and the output keeps coming: no busy loop
                if self.closing_at is not None:
                    self.wake.set()

    def _ship(self, *, partial: bool) -> bool:
        """Everything that is ready; False when the store refused."""
        while True:
            if not self.unsent:
                with self.lock:
                    self.unsent = self.backlog.take(partial=partial)
                    self.held_back = not self.unsent and bool(self.backlog.data)
            if not self.unsent:
                return True
            if not self._store(self.unsent):
                return False
            self.unsent = b""
            self.sequence += 1

    def _store(self, data: bytes) -> bool:
        try:
            self.storage.write(self.names.uri(self.sequence), data, if_absent=True)
        except ObjectExists:
            return True  # an earlier try arrived although it was reported as failed
        except Exception as error:
            if not self.warned:
                self.warned = True
                os.write(2, f"[kinetic] the log cannot be stored for now: {error}\n".encode("utf-8", "replace"))
            return False
        return True
