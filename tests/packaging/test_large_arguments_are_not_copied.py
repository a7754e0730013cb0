"""A 200 MB argument is in memory once: it is streamed to the disk and hashed on the way."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.packaging.artifact import writing

MEGABYTES = 200

PACK = """
import sys
from pathlib import Path
from airflow_provider_kinetic.packaging.payload import write_payload
from airflow_provider_kinetic.packaging.plan import plan_for
import airflow_provider_kinetic.packaging.pickling

def func(value): return len(value)

def peak():
    # In KiB. Not getrusage: that one remembers the size of the process that started this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

SIZE = {size} << 20
value = {value}
path = Path(sys.argv[1])
before = peak()
warned = []
payload = write_payload(path, func, (value,), {{}}, plan=plan_for(func, cwd=path.parent), env_vars={{}}, environ={{}},
                        warn=warned.append)
grown = (peak() - before) // 1024
assert payload.artifact.size > SIZE
print(grown, len(warned))
"""


@pytest.mark.parametrize("value", ["b'x' * SIZE", "bytearray(b'x') * SIZE", "numpy.ones(SIZE, 'u1')"])
def test_peak_memory(value: str, tmp_path: Path) -> None:
    if "numpy" in value:
        pytest.importorskip("numpy")
        value = f"__import__('numpy').{value.partition('.')[2]}"
    path = tmp_path / "payload.pkl"
    source = PACK.format(size=MEGABYTES, value=value)
    done = subprocess.run([sys.executable, "-c", source, str(path)], capture_output=True, text=True, check=False)
    path.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    grown, warned = map(int, done.stdout.split())
    assert grown < MEGABYTES / 10
    assert warned == 1


def test_digest_is_that_of_the_file(load: Any, job: Any) -> None:
    artifact = job.pack(load(dag="def func(x): 0").func, bytes(300_000)).artifact
    content = artifact.path.read_bytes()
    assert artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert artifact.size == len(content)


@pytest.mark.parametrize(("limit", "lines"), [("0.1", 1), ("1", 0), ("0", 0), ("-1", 0), ("many", 1)])
def test_size_is_told(load: Any, job: Any, limit: str, lines: int) -> None:
    job.pack(load(dag="def func(x): 0").func, bytes(300_000), environ={"KINETIC_PAYLOAD_SIZE_WARN_MB": limit})
    assert len([line for line in job.warnings if "KINETIC_PAYLOAD_SIZE_WARN_MB" in line]) == lines


def test_unfinished_file_is_removed(tmp_path: Path) -> None:
    def interrupted() -> None:
        with writing(tmp_path / "x") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
