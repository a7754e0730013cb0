"""The content hash of local data (contract 11.2): equal content has one name, whoever uploaded it.

Every file has a digest of its own, so files are read by all cores at once; reading and hashing happen outside of
Python's lock. A stat cache makes what did not change free.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from airflow_provider_kinetic.packaging.data_tree import DataFile, DataTree, changed, refusal
from airflow_provider_kinetic.packaging.stat_cache import Entry, StatCache, entry_of, is_settled

CHUNK = 256 * 1024
"""Bytes read at once: stays in a core's cache between reading and hashing."""

_BATCH = 64
_MAX_WORKERS = 32
_TICK_SECONDS = 0.05


@dataclass(frozen=True)
class HashProgress:
    """How far it is. What the cache knew counts as done."""

    files: int
    total_files: int
    bytes: int
    total_bytes: int


Report = Callable[[HashProgress], None]


def content_hash(
    tree: DataTree, *, cache: StatCache | None = None, report: Report | None = None, every: float = 1.0
) -> str:
    """64 lower-case hex digits. Memory does not grow with the size of files.

    :param report: called from the caller's thread while files are read, about ``every`` so many seconds.
    :raises ConfigurationError: a file may not be read.
    :raises InfrastructureError: files changed meanwhile, or the disk failed.
    """
    started_ns = time.time_ns()
    known = cache.load(tree.root) if cache else {}
    digests = [_known_digest(file, known) for file in tree.files]
    missing = [index for index, digest in enumerate(digests) if digest is None]
    if missing:
        _Reading(tree, missing, digests).run(report, every)
    tree.refuse_changed()
    raw = [digest for digest in digests if digest is not None]
    if cache:
        now = {file: entry_of(file, digest) for file, digest in zip(tree.files, raw, strict=True)}
        safe = {file.relative: entry for file, entry in now.items() if is_settled(file, started_ns)}
        hits = {file.relative: entry for file, entry in now.items() if known.get(file.relative) == entry}
        cache.store(tree.root, {**hits, **safe}, known)
    return hashlib.sha256(b"".join([b"dir:" if tree.is_folder else b"file:", *raw])).hexdigest()


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _known_digest(file: DataFile, known: dict[str, Entry]) -> bytes | None:
    entry = known.get(file.relative)
    return entry.digest if entry is not None and entry == entry_of(file, entry.digest) else None


class _Reading:
    """Digests of the missing files.

    Large files get a thread for each core. Small ones start with one thread, because Python's lock makes two of them
    slower than one while the disk answers at once. As long as processors are idle, more threads wait for the disk.
    """

    def __init__(self, tree: DataTree, missing: list[int], digests: list[bytes | None]) -> None:
        self._tree = tree
        self._digests = digests
        self._large, self._small = _batches(tree.files, missing)
        self._stop = threading.Event()
        self._counts = [[len(tree.files) - len(missing), tree.size - sum(tree.files[index].size for index in missing)]]

    def run(self, report: Report | None, every: float) -> None:
        """Read all. Whatever interrupts this thread, as a task that is killed, ends the others within a chunk."""
        with ThreadPoolExecutor(_MAX_WORKERS, thread_name_prefix="data-hash") as pool:
            try:
                running = {pool.submit(self._work, self._large) for _ in range(min(cores(), len(self._large)))}
                running.add(pool.submit(self._work, self._small))
                idle, reported = _Idle(), time.monotonic()
                while running:
                    done, running = wait(running, _TICK_SECONDS, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    waiting = self._large or self._small
                    if waiting and len(running) < _MAX_WORKERS and idle.processors(len(running)):
                        running.add(pool.submit(self._work, waiting))
                    if report and time.monotonic() > reported + every:
                        report(self._progress())
                        reported = time.monotonic()
            finally:
                self._stop.set()

    def _progress(self) -> HashProgress:
        files, size = (sum(column) for column in zip(*self._counts, strict=True))
        return HashProgress(files, len(self._tree.files), size, self._tree.size)

    def _work(self, batches: deque[list[int]]) -> None:
        counts = [0, 0]
        self._counts.append(counts)
        view = memoryview(bytearray(CHUNK))
        while not self._stop.is_set():
            try:
                batch = batches.popleft()
            except IndexError:
                return
            for index in batch:
                self._digests[index] = self._digest(self._tree.files[index], view, counts)
                counts[0] += 1

    def _digest(self, file: DataFile, view: memoryview, counts: list[int]) -> bytes:
        """Raw SHA-256 of name, NUL and content."""
        digest = hashlib.sha256(file.relative.encode() + b"\0")
        rest = file.size
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                while rest > 0 and not self._stop.is_set():
                    count = os.readv(descriptor, [view])
                    if not count:
                        break
                    digest.update(view[:count])
                    counts[1] += count
                    rest -= count
                now = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise refusal(file.path, error) from error
        if not file.is_unchanged(now) or (rest and not self._stop.is_set()):
            raise changed(file.path)
        return digest.digest()


class _Idle:
    """Whether this process waits rather than computes."""

    def __init__(self) -> None:
        self._last = time.monotonic(), time.process_time()

    def processors(self, threads: int) -> bool:
        """Since the last call the threads had less than a quarter of the processor time that they could have used."""
        last, self._last = self._last, (time.monotonic(), time.process_time())
        seconds, busy = (now - before for now, before in zip(self._last, last, strict=True))
        return busy < seconds / 4 * min(threads, cores())


def _batches(files: Sequence[DataFile], missing: list[int]) -> tuple[deque[list[int]], deque[list[int]]]:
    """Large files one by one, the largest first, so that no core ends up alone with one; small ones together."""
    large = sorted((index for index in missing if files[index].size >= CHUNK), key=lambda index: -files[index].size)
    small = [index for index in missing if files[index].size < CHUNK]
    return (
        deque([index] for index in large),
        deque(small[start : start + _BATCH] for start in range(0, len(small), _BATCH)),
    )
