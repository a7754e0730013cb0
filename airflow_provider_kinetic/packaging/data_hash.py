"""The content hash of local data (contract 11.2): equal content has one name, whoever uploaded it.

Every file has a digest of its own, so files are read by all cores at once: large ones by threads, for reading and
hashing happen outside of Python's lock, and many small ones by processes. A stat cache makes what did not change free.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from airflow_provider_kinetic.packaging.crew import Crew
from airflow_provider_kinetic.packaging.data_tree import DataFile, DataTree, changed, refusal
from airflow_provider_kinetic.packaging.hash_process import HashProcess, Row
from airflow_provider_kinetic.packaging.stat_cache import Entry, StatCache, entry_of, is_settled

CHUNK = 256 * 1024
"""Bytes read at once: stays in a core's cache between reading and hashing."""

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""A pipe that has taken a file's place is opened at once."""
_BATCH = 64
_BATCHES_OF_PROCESS = 16
"""At least so many at once: some milliseconds of work, because our side has to wait for Python's lock in between."""
_MAX_WORKERS = 32
_WORTH_A_PROCESS = 4_000
"""Small files, for each process: fewer are read in the time that it takes to start."""
_MAX_PROCESSES = 4


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

    A thread for each core reads large files, one more small ones, or one for each process that does. More threads start
    for as long as this machine waits: for a network's file system, or the disk.
    """

    def __init__(self, tree: DataTree, missing: list[int], digests: list[bytes | None]) -> None:
        self._tree = tree
        self._digests = digests
        self._large, self._small = _batches(tree.files, missing)
        self._processes: list[HashProcess] = []
        self._crew = Crew("data-hash", most=_MAX_WORKERS, cores=cores(), busy=self._busy)
        self._counts = [[len(tree.files) - len(missing), tree.size - sum(tree.files[index].size for index in missing)]]

    def run(self, report: Report | None, every: float) -> None:
        """Read all. Whatever interrupts this thread, as a task that is killed, ends the others within a chunk."""
        reported = time.monotonic()

        def tick() -> None:
            nonlocal reported
            if report and time.monotonic() > reported + every:
                report(self._progress())
                reported = time.monotonic()

        processes = min(cores() - 1, _MAX_PROCESSES, len(self._small) * _BATCH // _WORTH_A_PROCESS)
        first = [lambda: self._work(self._large)] * min(cores(), len(self._large))
        first += [self._work_by_process] * processes + [lambda: self._work(self._small)]
        self._crew.run(first, self._more, tick)

    def _more(self) -> Callable[[], None] | None:
        waiting = self._large or self._small
        return (lambda: self._work(waiting)) if waiting else None

    def _busy(self) -> float:
        return time.process_time() + sum(process.seconds for process in self._processes)

    def _progress(self) -> HashProgress:
        files, size = (sum(column) for column in zip(*self._counts, strict=True))
        return HashProgress(files, len(self._tree.files), size, self._tree.size)

    def _work_by_process(self) -> None:
        """What a process cannot be had for, or cannot read, is read here."""
        counts, batch = self._count(), list[int]()
        with suppress(OSError, EOFError), HashProcess(str(self._tree.root)) as process:
            self._processes.append(process)
            while batch := self._next(self._small, max(_BATCHES_OF_PROCESS, len(self._small) // (2 * cores()))):
                files = [self._tree.files[index] for index in batch]
                self._take(batch, files, _unchanged(files, process.rows(file.relative for file in files)), counts)
        self._work(deque([batch] if batch else []))

    def _work(self, batches: deque[list[int]]) -> None:
        counts, view = self._count(), memoryview(bytearray(CHUNK))
        while batch := self._next(batches):
            files = [self._tree.files[index] for index in batch]
            if files[0].size < CHUNK:
                self._take(batch, files, _digests_of_small(files), counts)
                continue
            for index, file in zip(batch, files, strict=True):
                self._digests[index] = self._digest(file, view, counts)
                counts[0] += 1

    def _take(
        self, batch: list[int], files: list[DataFile], digests: Iterable[bytes | None], counts: list[int]
    ) -> None:
        """Digests of small files; where there is none, the file is read once more, and carefully."""
        for index, file, digest in zip(batch, files, digests, strict=True):
            self._digests[index] = digest or self._digest(file, memoryview(bytearray(CHUNK)), [0, 0])
        counts[0] += len(files)
        counts[1] += sum(file.size for file in files)

    def _next(self, batches: deque[list[int]], count: int = 1) -> list[int]:
        """None are left when it is empty."""
        found: list[int] = []
        with suppress(IndexError):
            while count and not self._crew.stopped.is_set():
                found += batches.popleft()
                count -= 1
        return found

    def _count(self) -> list[int]:
        counts = [0, 0]
        self._counts.append(counts)
        return counts

    def _digest(self, file: DataFile, view: memoryview, counts: list[int]) -> bytes:
        """Raw SHA-256 of name, NUL and content."""
        digest = hashlib.sha256(file.relative.encode() + b"\0")
        rest, stopped = file.size, self._crew.stopped
        try:
            descriptor = os.open(file.path, _FLAGS)
            try:
                while rest > 0 and not stopped.is_set():
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
        if not file.is_unchanged(now) or (rest and not stopped.is_set()):
            raise changed(file.path)
        return digest.digest()


def _digests_of_small(files: Iterable[DataFile]) -> Iterator[bytes | None]:
    """As :meth:`_Reading._digest`, in as few steps as there can be; None: that one has to look at it."""
    sha256, read, stat, close = hashlib.sha256, os.read, os.fstat, os.close
    for relative, path, size, mtime_ns, _, inode in files:
        try:
            descriptor = os.open(path, _FLAGS)
            try:
                data = read(descriptor, size + 1)
                now = stat(descriptor)
            finally:
                close(descriptor)
        except OSError:
            yield None
            continue
        unchanged = (now.st_size, now.st_mtime_ns, now.st_ino) == (size, mtime_ns, inode)
        yield sha256(relative.encode() + b"\0" + data).digest() if unchanged and len(data) == size else None


def _unchanged(files: Iterable[DataFile], rows: Iterable[Row]) -> Iterator[bytes | None]:
    for (_, _, size, mtime_ns, _, inode), (digest, *found) in zip(files, rows, strict=True):
        yield digest if found == [size, mtime_ns, inode] else None


def _batches(files: Sequence[DataFile], missing: list[int]) -> tuple[deque[list[int]], deque[list[int]]]:
    """Large files one by one, the largest first, so that no core ends up alone with one; small ones together."""
    large = sorted((index for index in missing if files[index].size >= CHUNK), key=lambda index: -files[index].size)
    small = [index for index in missing if files[index].size < CHUNK]
    return (
        deque([index] for index in large),
        deque(small[start : start + _BATCH] for start in range(0, len(small), _BATCH)),
    )
