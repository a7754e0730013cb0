"""What every store promises when writers race and die."""

from __future__ import annotations

import os
import random
import signal
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
    """One interpreter imports, and forks where it takes several."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def test_a_killed_writer_leaves_whole_objects_or_none(store: Store, store_source: str, root: str) -> None:
    script = store_source + (
        "import itertools, os, sys\n"
        "for line in sys.stdin:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        break\n"
        "    print(child, flush=True)\n"
        "    os.wait()\n"
        "    print('ended', flush=True)\n"
        "else:\n"
        "    sys.exit()\n"
        "for n in itertools.count():\n"
        f"    data = bytes([n % 256]) * {SIZE}\n"
        "    store.write(sys.argv[1] + '/replaced', data)\n"
        "    store.write(sys.argv[1] + f'/new-{n % 5}', data)\n"
    )
    with python(script, root) as family:
        assert family.stdin is not None
        assert family.stdout is not None
        for killed in range(6):
            family.stdin.write("\n")
            writer = int(family.stdout.readline())
            while not killed and store.stat(f"{root}/replaced") is None:  # one has to get as far as that
                time.sleep(0.01)
            time.sleep(random.uniform(0.01, 0.1))
            os.kill(writer, signal.SIGKILL)
            assert family.stdout.readline() == "ended\n"
            for info in store.list(f"{root}/"):
                data = store.read(info.uri)
                assert len(data) == info.size == SIZE
                assert data.count(data[:1]) == SIZE
            store.delete_prefix(f"{root}/new-")
    assert store.stat(f"{root}/replaced")


def test_one_of_many_processes_creates(store: Store, store_source: str, root: str) -> None:
    script = store_source + (
        "import os, sys\n"
        "from airflow_provider_kinetic.stores.base import ObjectExists\n"
        f"for number in range({PROCESSES}):\n"
        "    if not os.fork():\n"
        "        os.write(1, b'ready\\n')\n"
        "        os.read(0, 1)\n"
        "        try:\n"
        "            store.write(sys.argv[1], b'%d' % number, if_absent=True)\n"
        "            os.write(1, b'%d\\n' % number)\n"
        "        except ObjectExists:\n"
        "            os.write(1, b'lost\\n')\n"
        "        os._exit(0)\n"
        f"for number in range({PROCESSES}):\n"
        "    os.wait()\n"
    )
    with python(script, f"{root}/lock") as family:
        assert family.stdout is not None
        assert [family.stdout.readline() for _ in range(PROCESSES)] == ["ready\n"] * PROCESSES
        outcomes = family.communicate("." * PROCESSES)[0].splitlines()
    assert len(outcomes) == PROCESSES
    (won,) = (outcome for outcome in outcomes if outcome != "lost")
    assert store.read(f"{root}/lock").decode() == won


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
        for n in range(8):
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


def test_a_writer_survives_that_its_prefix_is_cleared(store: Store, root: str, kind: str) -> None:
    def write() -> None:
        for n in range(1000 if kind == "local" else 200):
            store.write(f"{root}/job/folder/{n}", b"x")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            store.delete_prefix(f"{root}/job/")
            time.sleep(0.002)
        writing.result()
    store.write(f"{root}/job/folder/last", b"x")
    assert store.stat(f"{root}/job/folder/last")
