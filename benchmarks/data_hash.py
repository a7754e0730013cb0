"""What the content hash of local data costs: for large files, for many small ones, and when nothing changed.

Beside each figure stands what it is held against, measured in turns in the same run; the best of each counts, because
other work of the machine only ever adds. `hashlib` hashes one buffer in memory with a thread for each core;
`open().read()` is one thread that hashes nothing. It knows the paths, so our listing, which also takes what `stat` says
of each file, stands on a line of its own. Small files are read from the page cache, then again after the kernel was
asked to drop their pages. Upstream's client is measured too where the tests' environment for it exists (`.interop`).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airflow_provider_kinetic.packaging.data_hash import content_hash, cores
from airflow_provider_kinetic.packaging.data_tree import scan
from airflow_provider_kinetic.packaging.stat_cache import GRANULARITY_NS, StatCache

RUNS = 5
MEBIBYTE = 1 << 20
LARGE, LARGE_BYTES = 8, 96 * MEBIBYTE
SMALL, SMALL_BYTES = 20_000, 4096
SPARSE, SPARSE_BYTES = 40, 256 * MEBIBYTE
UPSTREAM = Path(__file__).parent.parent / ".interop" / "bin" / "python"
_UPSTREAM = """
import sys, time
from kinetic.data.data import Data
def seconds():
    start = time.perf_counter()
    Data(sys.argv[1]).content_hash()
    return time.perf_counter() - start
print(min(seconds() for _ in range(int(sys.argv[2]))))
"""
LIMIT_OF_RATE = 0.9
LIMIT_UNCHANGED_SECONDS = 1.0

Work = Callable[[], object]


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(*works: Work, before: Work | None = None) -> list[float]:
    """The shortest time of each, in turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(RUNS):
        for work, taken in zip(works, times, strict=True):
            if before:
                before()
            taken.append(seconds(work))
    return [min(taken) for taken in times]


def upstream(folder: Path, runs: int = RUNS) -> float | None:
    """The shortest time in seconds, without the imports; None where it is not installed."""
    if not UPSTREAM.exists():
        return None
    ran = subprocess.run([UPSTREAM, "-c", _UPSTREAM, folder, str(runs)], capture_output=True, text=True, check=False)
    return float(ran.stdout) if ran.returncode == 0 else None


def row(name: str, figure: str, limit: str = "", good: bool = True) -> bool:
    print(f"{name:52} {figure:>14}  {limit}{'' if good else '  NOT met'}")
    return good


def large_files(root: Path) -> bool:
    root.mkdir()
    content = os.urandom(LARGE_BYTES)
    for number in range(LARGE):
        (root / f"{number}").write_bytes(content)

    def alone() -> None:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda _: hashlib.sha256(content).digest(), range(LARGE)))

    theirs, ours = best(alone, lambda: content_hash(scan(root)))
    total = LARGE * LARGE_BYTES / MEBIBYTE
    row(f"hashlib in memory, {cores()} cores", f"{total / theirs:,.0f} MiB/s")
    limit = f"at least {LIMIT_OF_RATE * total / theirs:,.0f} MiB/s"
    return row(
        f"{LARGE} files of {LARGE_BYTES // MEBIBYTE} MiB",
        f"{total / ours:,.0f} MiB/s",
        limit,
        ours * LIMIT_OF_RATE <= theirs,
    )


def many(root: Path) -> list[str]:
    for folder in range(20):
        (root / f"{folder}").mkdir(parents=True)
        for number in range(SMALL // 20):
            (root / f"{folder}" / f"{number}").write_bytes(os.urandom(SMALL_BYTES))
    return [file.path for file in scan(root).files]


def small_files(root: Path) -> bool:
    paths = many(root)

    def read() -> None:
        for path in paths:
            with open(path, "rb") as stream:  # noqa: PTH123 (what it is held against)
                stream.read()

    def forget() -> None:
        os.sync()
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    good, tree = True, scan(root)
    for state, before in (("page cache", None), ("pages dropped", forget)):
        theirs, ours, listing = best(read, lambda: content_hash(tree), lambda: scan(root), before=before)
        row(f"open().read() of {SMALL:,} files of 4 KiB, {state}", f"{theirs:.3f} s")
        good &= row("  read, check and hash them", f"{ours:.3f} s", f"at most {theirs:.3f} s", ours <= theirs)
        row("  list them before", f"{listing:.3f} s")
    if (taken := upstream(root)) is not None:
        row("  upstream's content_hash, page cache", f"{taken:.3f} s")
    return good


def unchanged(root: Path, cache: StatCache) -> bool:
    root.mkdir()
    for number in range(SPARSE):
        with (root / f"{number}").open("wb") as stream:
            stream.truncate(SPARSE_BYTES)
    time.sleep(GRANULARITY_NS / 1e9 + 0.1)
    first = min(seconds(lambda: content_hash(scan(root))) for _ in range(2))  # pages of zeros are made by the first
    content_hash(scan(root), cache=cache)
    again = min(seconds(lambda: content_hash(scan(root), cache=cache)) for _ in range(RUNS))
    size = f"{SPARSE * SPARSE_BYTES / 1e9:.1f} GB in {SPARSE} sparse files"
    row(f"{size}, first", f"{first:.3f} s")
    if (taken := upstream(root, runs=1)) is not None:
        row("  upstream's content_hash, every time", f"{taken:.3f} s")
    limit = f"less than {LIMIT_UNCHANGED_SECONDS} s"
    return row(f"{size}, unchanged", f"{again:.4f} s", limit, again < LIMIT_UNCHANGED_SECONDS)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        met = [
            large_files(folder / "large"),
            small_files(folder / "small"),
            unchanged(folder / "sparse", StatCache(folder / "cache")),
        ]
    print(f"limits: {'met' if all(met) else 'NOT met'}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
