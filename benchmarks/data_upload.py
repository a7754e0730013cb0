"""What sending data to Cloud Storage costs: many small files, a few large ones, and the memory that it takes.

Beside each figure stands the client library's `transfer_manager`, once with its processes (its default) and once with
threads, in turns in the same run; the better one counts, and the best time of each. All compare CRC32C with the
service, a process of this machine that counts, sums and forgets (`support/upload_server.py`): the figures are about
clients, a network adds to all of them alike. Memory is the largest resident set of a fresh process.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client, transfer_manager
from support.upload_server import UploadServer, upload_server

from airflow_provider_kinetic.packaging.data_tree import scan
from airflow_provider_kinetic.stores.gcs import GcsStore

RUNS = 3
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
SMALL, SMALL_BYTES = 2_000, 16 * KIBIBYTE
LARGE, LARGE_BYTES = 4, 256 * MEBIBYTE
MEDIUM, MEDIUM_BYTES = 100, 4 * MEBIBYTE
"""The largest that are held in memory."""
HUGE_BYTES = 2048 * MEBIBYTE
FASTER_SMALL, FASTER_LARGE = 2.0, 1.0
LIMIT_MEMORY = 200
"""MiB, of the whole process."""

Contender = Callable[[str, Path], None]


def _client(url: str) -> Client:
    os.environ["STORAGE_EMULATOR_HOST"] = url
    return Client("bench", AnonymousCredentials(), client_options={"api_endpoint": url})


def ours(url: str, folder: Path) -> None:
    files = [(file, f"gs://bench/{file.relative}") for file in scan(folder).files]
    assert GcsStore(lambda: _client(url)).upload_many(files) == len(files)


def theirs(url: str, folder: Path, worker_type: str) -> None:
    transfer_manager.upload_many_from_filenames(
        _client(url).bucket("bench"),
        sorted(path.name for path in folder.iterdir()),
        source_directory=str(folder),
        worker_type=worker_type,
        raise_exception=True,
    )


def processes(url: str, folder: Path) -> None:
    theirs(url, folder, transfer_manager.PROCESS)


def threads(url: str, folder: Path) -> None:
    theirs(url, folder, transfer_manager.THREAD)


CONTENDERS: dict[str, Contender] = {
    "GcsStore.upload_many": ours,
    "transfer_manager, 8 processes": processes,
    "transfer_manager, 8 threads": threads,
}


def seconds(work: Contender, server: UploadServer, folder: Path) -> float:
    """Of one upload, and of the processor in this process and its children."""
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    gc.collect()
    start = time.perf_counter()
    work(server.url, folder)
    taken = time.perf_counter() - start
    assert {name: size for name, (size, _) in server.objects().items()} == sizes
    return taken


def race(title: str, folder: Path, server: UploadServer, limit: float) -> bool:
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(RUNS):
        for name, work in CONTENDERS.items():
            times[name].append(seconds(work, server, folder))
    best = {name: min(taken) for name, taken in times.items()}
    mine, *others = best.values()
    total = sum(path.stat().st_size for path in folder.iterdir()) / MEBIBYTE
    print(title)
    for name, taken in best.items():
        print(f"  {name:32} {taken:8.3f} s {total / taken:10,.0f} MiB/s")
    good = min(others) / mine >= limit
    print(f"  {min(others) / mine:.2f} times as fast, at least {limit:g}{'' if good else '  NOT met'}")
    return good


def _measured(control: Connection, name: str, url: str, folder: Path) -> None:
    CONTENDERS[name](url, folder)
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    control.send((int(own.split()[1]) / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024))


def memory(title: str, folder: Path, server: UploadServer, names: list[str]) -> bool:
    print(f"memory, {title}")
    good = True
    context = multiprocessing.get_context("spawn")
    for name in names:
        here, there = context.Pipe()
        process = context.Process(target=_measured, args=(there, name, server.url, folder))
        process.start()
        own, child = here.recv()
        process.join()
        more = f", and {child:,.0f} MiB in the largest of its processes" if child else ""
        met = name != "GcsStore.upload_many" or own <= LIMIT_MEMORY
        limit = f"  at most {LIMIT_MEMORY} MiB" if name == "GcsStore.upload_many" else ""
        print(f"  {name:32} {own:8,.0f} MiB{more}{limit}{'' if met else '  NOT met'}")
        good &= met
        server.objects()
    return good


def fill(folder: Path, count: int, size: int) -> Path:
    folder.mkdir()
    for number in range(count):
        with (folder / f"{number:05}").open("wb") as stream:
            for _ in range(0, size, 8 * MEBIBYTE):
                stream.write(os.urandom(min(size, 8 * MEBIBYTE)))
    return folder


def main() -> int:
    with tempfile.TemporaryDirectory() as name, upload_server() as server:
        small = fill(Path(name) / "small", SMALL, SMALL_BYTES)
        large = fill(Path(name) / "large", LARGE, LARGE_BYTES)
        huge = Path(name) / "huge"
        huge.mkdir()
        with (huge / "sparse").open("wb") as stream:
            stream.truncate(HUGE_BYTES)
        medium = fill(Path(name) / "medium", MEDIUM, MEDIUM_BYTES)
        alone = ["GcsStore.upload_many"]
        met = [
            race(f"{SMALL:,} files of 16 KiB", small, server, FASTER_SMALL),
            race(f"{LARGE} files of 256 MiB", large, server, FASTER_LARGE),
            memory(f"{SMALL:,} files of 16 KiB", small, server, list(CONTENDERS)),
            memory(f"{LARGE} files of 256 MiB", large, server, list(CONTENDERS)),
            memory(f"{MEDIUM} files of 4 MiB", medium, server, alone),
            memory("1 file of 2 GiB", huge, server, alone),
        ]
    print(f"limits: {'met' if all(met) else 'NOT met'}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
