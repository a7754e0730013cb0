"""What every store promises when writers race and die."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from airflow_provider_kinetic.stores.base import ObjectExists, Store

WRITERS = 16
PROCESSES = 8
SIZE = 8 << 20


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_whole_objects_or_none(store: Store, store_source: str, root: str) -> None:
    script = store_source + (
        "import itertools, sys\n"
        "print('ready', flush=True)\n"
        "for n in itertools.count():\n"
        f"    data = bytes([n % 256]) * {SIZE}\n"
        "    store.write(sys.argv[1] + '/replaced', data)\n"
        "    store.write(sys.argv[1] + f'/new-{n % 5}', data)\n"
    )
    for killed in range(6):
        with python(script, root) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while not killed and store.stat(f"{root}/replaced") is None:  # one has to get as far as that
                time.sleep(0.01)
            time.sleep(random.uniform(0.01, 0.1))
            writer.kill()
        for info in store.list(f"{root}/"):
            data = store.read(info.uri)
            assert len(data) == info.size == SIZE
            assert data.count(data[:1]) == SIZE
        store.delete_prefix(f"{root}/new-")
    assert store.stat(f"{root}/replaced")


def test_one_of_many_processes_creates(store: Store, store_source: str, root: str) -> None:
    script = store_source + (
        "import sys\n"
        "from airflow_provider_kinetic.stores.base import ObjectExists\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    store.write(sys.argv[1], sys.argv[2].encode(), if_absent=True)\n"
        "    print('won')\n"
        "except ObjectExists:\n"
        "    print('lost')\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, f"{root}/lock", str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(PROCESSES)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outcomes = [writer.communicate()[0].strip() for writer in writers]
    assert sorted(outcomes) == ["lost"] * (PROCESSES - 1) + ["won"]
    assert store.read(f"{root}/lock") == str(outcomes.index("won")).encode()


def test_one_of_many_threads_creates(store: Store, root: str, tmp_path: Path) -> None:
    together = Barrier(WRITERS)

    def create(number: int) -> bool:
        source = tmp_path / str(number)
        source.write_bytes(str(number).encode())
        together.wait()
        try:
            store.upload(source, f"{root}/lock", if_absent=True)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(create, range(WRITERS)))
    assert won.count(True) == 1
    assert store.read(f"{root}/lock") == str(won.index(True)).encode()


def test_readers_never_see_a_part(store: Store, root: str) -> None:
    store.write(f"{root}/status", b"0" * SIZE)

    def write() -> None:
        for n in range(20):
            store.write(f"{root}/status", str(n % 10).encode() * SIZE)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        reads = 0
        while not writing.done():
            data = store.read(f"{root}/status")
            assert data.count(data[:1]) == SIZE
            reads += 1
        writing.result()
    assert reads


def test_a_writer_survives_that_its_prefix_is_cleared(store: Store, root: str) -> None:
    def write() -> None:
        for n in range(1000):
            store.write(f"{root}/job/folder/{n}", b"x")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            store.delete_prefix(f"{root}/job/")
            time.sleep(0.002)
        writing.result()
    store.write(f"{root}/job/folder/last", b"x")
    assert store.stat(f"{root}/job/folder/last")
