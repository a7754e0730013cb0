"""What metrics cost: a call of ``log``, the import of what a training script needs, and reading a long series back.

Calls are timed one by one as a job makes them, with the file that outlives the process, and beside them what they
consist of at least: the row as a line of JSON, and the write. The import is timed in processes of their own, in turns
with an interpreter that imports nothing: what is told and judged is what it adds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.attempts import Records
from airflow_provider_kinetic.job.training.metrics import Metrics
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.job.training.summary import Summary
from airflow_provider_kinetic.job.vaults import FileVault

CALLS = 20_000
ROWS = 100_000
RUNS = 7
LIMIT_LOG = 15.0
"""Microseconds, median, of up to five metrics."""
LIMIT_IMPORT = 100.0
"""Milliseconds."""
LIMIT_MEMORY = 25.0
"""MiB."""

PROBE = """
import time
begun = time.perf_counter()
{code}
spent = time.perf_counter() - begun
print(spent * 1000)
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


class Place:
    """A trial in a fresh folder."""

    def __init__(self, folder: Path) -> None:
        self.spool = folder / "spool"
        self.vault = FileVault()
        self.layout = TrialLayout(path_to_uri(folder / "out"))
        attempt = Records(self.layout.output_dir, "", self.vault).begin({})
        self.metrics = Metrics(self.vault, self.layout, attempt.number, lambda: True, {}, self.spool)


def microseconds(call, times: int) -> list[float]:
    spent = []
    for step in range(times):
        begun = time.perf_counter_ns()
        call(step)
        spent.append((time.perf_counter_ns() - begun) / 1000)
    return spent


def logging(count: int) -> tuple[float, float, float]:
    """Median and 99th percentile of a call with ``count`` metrics, and the median of the least it consists of."""
    values = {f"metric{number}": 0.123456789 * number for number in range(count)}
    with tempfile.TemporaryDirectory() as folder:
        metrics = Place(Path(folder)).metrics
        calls = microseconds(lambda step: metrics.log(values, step, "train"), CALLS)
        metrics.close()
        with (Path(folder) / "rows").open("ab", buffering=0) as stream:
            encode = json.JSONEncoder(separators=(",", ":")).encode

            def least(step: int) -> None:
                stream.write(encode({"t": time.time(), "s": step, "g": "train", "m": values}).encode())

            floor = statistics.median(microseconds(least, CALLS))
    return statistics.median(calls), statistics.quantiles(calls, n=100)[98], floor


def process(code: str) -> tuple[float, float]:
    """Milliseconds and MiB of an interpreter that runs ``code``."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-S", "-c", PROBE.format(code=code)]
    said = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(said[0]), float(said[1])


def importing(code: str) -> tuple[float, float]:
    """Milliseconds and MiB that ``code`` adds, medians."""
    bare, ours = [], []
    for _ in range(RUNS):
        bare.append(process("pass"))
        ours.append(process(code))
    return tuple(  # type: ignore[return-value]
        statistics.median(each[index] for each in ours) - statistics.median(each[index] for each in bare)
        for index in (0, 1)
    )


def reading() -> tuple[float, float, int]:
    """Seconds to read a long series, seconds to sum it up, and the bytes of its summary."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for step in range(ROWS):
            place.metrics.log({"loss": 1 / (step + 1), "accuracy": step / ROWS}, step, "train")
        place.metrics.close()
        begun = time.perf_counter()
        rows = read_rows(place.vault, place.layout)
        read = time.perf_counter() - begun
        assert [row.step for row in rows] == list(range(ROWS))
        begun = time.perf_counter()
        content = json.dumps(Summary(1, rows).to_dict())
        return read, time.perf_counter() - begun, len(content)


def main() -> int:
    good = True
    for count in (2, 5, 20):
        median, slow, floor = logging(count)
        good = good and (count > 5 or median <= LIMIT_LOG)
        print(f"log, {count:2} metrics: median {median:5.1f} µs, p99 {slow:5.1f}; JSON and a write alone {floor:5.1f}")
    trial = "from airflow_provider_kinetic import job; job.trial"
    cloud = f"{trial}; import airflow_provider_kinetic.job.gcs_vault"
    for what, code in (("files", trial), ("Cloud Storage, with TLS", cloud)):
        spent, memory = importing(code)
        good = good and spent <= LIMIT_IMPORT and memory <= LIMIT_MEMORY
        print(f"import for {what} adds {spent:.0f} ms, {memory:.1f} MiB to a bare interpreter")
    read, summed, size = reading()
    print(f"{ROWS:,} rows: read in {read:.2f} s, summed up in {summed:.2f} s to {size / 1024:.0f} KiB")
    limits = f"{LIMIT_LOG:.0f} µs for up to 5 metrics, {LIMIT_IMPORT:.0f} ms, {LIMIT_MEMORY:.0f} MiB"
    print(f"limits: {limits}: {'met' if good else 'NOT met'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
