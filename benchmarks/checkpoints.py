"""What saving and restoring cost beside the transfer of the same bytes, and beside Orbax.

All talk to one Cloud Storage of this machine (``support/object_server.py``), in turns in the same run, over as many
connections, which are kept, from memory and to memory. Every request waits as long as a round trip to a bucket takes.
The peer sends and fetches the same files, in the same parts, and does nothing else: no digest, no record, no look
(``support/raw_transfer.py``). Ours is what a user calls: ``save``, and the ``restore`` of a trial that was opened
before. What it needs beyond the peer is counted in round trips: requests that can only have waited for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from support.object_server import BUCKET, MEMORY, ObjectServer, object_server
from support.race import LATENCY, Outcome, Race, seconds
from support.raw_transfer import RawTransfer
from support.round_trips import chain

from airflow_provider_kinetic.job.arrivals import part_of
from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.attempts import Records
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint, in_parallel, record_of
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.metrics import Metrics
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial

RUNS = 5
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
COUNTING = 0.3
"""Seconds that every request waits while round trips are counted: more than a busy machine needs for a few threads."""
RATES = 50e6, 100e6, 0.0
"""Bytes a second of one connection, which is assumed; 0: as many as this machine can, which is no network."""
CASES = {
    "13 × 300 KB": [300_000] * 13,
    "4 × 32 MiB": [32 * MEBIBYTE] * 4,
    "17 files, 280 MiB": [24 * MEBIBYTE] + [16 * MEBIBYTE] * 16,
}
CHANGED = 24 * MEBIBYTE
"""Bytes of the file of the last case that changes."""
ATTEMPTS, COMMITS, ROWS = (20, 60), 200, 100_000
"""Earlier attempts, the checkpoints that all of them have saved, and the rows of the first one."""
LIMIT_SAVE, LIMIT_SAVE_TRIPS = 1.05, 5
LIMIT_RESTORE, LIMIT_RESTORE_TRIPS = 1.1, 0
LIMIT_BLOCKED, LIMIT_OPEN = 0.05, 0.5
"""Seconds."""
LIMIT_SENT = 1.01
"""Times the bytes that changed; records and metadata are sent too."""
ORBAX = Path(__file__).parent / "support" / "orbax_checkpoints.py"


@dataclass
class Place:
    """The server, a vault whose connections are kept, and the peer."""

    server: ObjectServer
    folder: Path
    trials: int = 0

    def __post_init__(self) -> None:
        self.vault = GcsVault(Session({"STORAGE_EMULATOR_HOST": self.server.url}, patience=20))
        self.raw = RawTransfer(self.server.url, BUCKET)

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """A new one, in an empty bucket."""
        self.trials += 1
        with self.attempt(f"gs://{BUCKET}/{self.trials}") as trial:
            yield trial
        self.server.clear()

    @contextmanager
    def attempt(self, uri: str) -> Iterator[Trial]:
        """A new one of the trial there; opened, and ended, at no latency."""
        self.server.slow()
        trial = Trial(uri, Keep(latest=9), self.vault)
        self.settle(trial)
        yield trial
        self.server.slow()
        trial.close()

    def settle(self, trial: Trial) -> None:
        """What it does in the background is done."""
        trial._saver._background.submit(int).result()

    def clear(self) -> None:
        """Nothing that was fetched is left."""
        for folder in self.folder.glob("tmp*"):
            shutil.rmtree(folder)

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """The number of sequential round trips, once it is over."""
        self.server.slow(COUNTING)
        self.server.counts()
        found: list[int] = []
        yield found
        found.append(chain((at for _, at in self.server.counts().requests), COUNTING))


def made(folder: Path, sizes: Sequence[int]) -> list[Path]:
    folder.mkdir()
    for number, size in enumerate(sizes):
        with (folder / f"{number:03}").open("wb") as stream:
            for at in range(0, size, MEBIBYTE):
                stream.write(os.urandom(min(MEBIBYTE, size - at)))
    return sorted(folder.iterdir())


def save(trial: Trial, step: int, files: Sequence[Path], wait: bool = True) -> float:
    """Seconds from the end of the body; the body makes links, so that no disk is measured."""
    with trial.save(step, wait=wait, loss=0.5) as folder:
        for path in files:
            os.link(path, folder / path.name)
        begun = time.perf_counter()
    return time.perf_counter() - begun


def saving(place: Place, title: str, files: list[Path], rate: float) -> Outcome:
    race = Race(f"save {title}", files, rate, LIMIT_SAVE, LIMIT_SAVE_TRIPS)
    named = [(path.name, path) for path in files]
    for _ in range(RUNS + 1):
        with place.trial() as trial:
            trial.log({"loss": 0.5}, step=1)
            place.server.slow(LATENCY, rate)
            race.ours.add(partial(save, trial, 1, files))
            race.raw.add(partial(place.raw.upload, named))
    with place.trial() as trial:
        save(trial, 1, files[:1])
        place.settle(trial)
        trial.log({"loss": 0.5}, step=1)
        with place.counted() as ours:
            save(trial, 2, files)
        with place.counted() as raw:
            place.raw.upload(named)
    return race.told(ours[0], raw[0])


def restoring(place: Place, title: str, files: list[Path], rate: float) -> Outcome:
    """By an attempt that was just opened, until the body begins."""
    race = Race(f"restore {title}", files, rate, LIMIT_RESTORE, LIMIT_RESTORE_TRIPS, hurried=True)
    with place.trial() as trial:
        save(trial, 1, files)
        found = trial.latest
        assert found is not None
        prefix = found.uri.partition(f"{BUCKET}/")[2]

        def raw() -> None:
            folder = Path(tempfile.mkdtemp(dir=place.folder))
            wanted = [(f"{prefix}/{path.name}", folder / path.name, path.stat().st_size) for path in files]
            place.raw.download(wanted, part_of(sum(size for _, _, size in wanted)))

        for _ in range(RUNS + 1):
            with place.attempt(trial.dir) as fresh, ExitStack() as body:
                place.server.slow(LATENCY, rate)
                race.ours.add(partial(restored, fresh, body))
            place.server.slow(LATENCY, rate)
            race.raw.add(raw)
            place.clear()
        with place.attempt(trial.dir) as fresh, ExitStack() as body, place.counted() as ours_trips:
            restored(fresh, body)
        with place.counted() as raw_trips:
            raw()
        place.clear()
    return race.told(ours_trips[0], raw_trips[0])


def restored(trial: Trial, body: ExitStack) -> None:
    assert body.enter_context(trial.restore()) is not None


def changing(place: Place, files: list[Path]) -> Outcome:
    """A save in which one file is another, and how long a save in the background holds the training up."""
    other = made(place.folder / "changed", [CHANGED])[0].rename(place.folder / "changed" / files[0].name)
    sent, blocked, spent, copies = [], [], [], []
    for _ in range(RUNS):
        with place.trial() as trial:
            place.server.slow(LATENCY)
            begun = time.perf_counter()
            filled = save(trial, 1, files, wait=False)
            blocked.append((filled, time.perf_counter() - begun))
            trial.wait()
            place.settle(trial)
            place.server.counts()
            spent.append(save(trial, 2, [other, *files[1:]]))
            counts = place.server.counts()
            sent.append(counts.bytes_in)
            copies.append(sum(kind == "rewrite" for kind, _ in counts.requests))
    most, longest = max(sent), statistics.median(each[0] for each in blocked)
    good = most <= LIMIT_SENT * CHANGED and longest <= LIMIT_BLOCKED
    print(
        f"  280 MiB, 24 MiB changed: {most / MEBIBYTE:.2f} MiB sent, {copies[0]} copies, "
        f"{statistics.median(spent):.3f} s; at most {LIMIT_SENT * CHANGED / MEBIBYTE:.2f} MiB\n"
        f"  wait=False holds up for {longest * 1000:.1f} ms after the body, the first time of an attempt; "
        f"with its beginning and 17 links {statistics.median(each[1] for each in blocked) * 1000:.1f} ms; "
        f"at most {LIMIT_BLOCKED * 1000:.0f} ms{'' if good else '  MISSED'}"
    )
    return Outcome(good)


def opening(place: Place, attempts: int) -> Outcome:
    """A trial with a long history."""
    place.server.slow()
    uri = f"gs://{BUCKET}/history-{attempts}"
    layout = TrialLayout(uri)
    records = Records(uri, "", place.vault)
    each = COMMITS // attempts
    for number in range(1, attempts + 1):
        assert records.begin({}).number == number
        names = [Name(step, number, step % 10 + 1) for step in range(number * 10, number * 10 + each)]
        in_parallel(lambda name: commit(place.vault, layout, name), names)
    metrics = Metrics(place.vault, layout, 1, lambda: True, {})
    for step in range(ROWS):
        metrics.log({"loss": 0.5, "accuracy": 0.5}, step, "train")
    metrics.close()
    spent, latest, requests = [], [], []
    for _ in range(RUNS):
        place.server.slow(LATENCY)
        place.server.counts()
        begun = time.perf_counter()
        trial = Trial(uri, Keep(latest=10_000), place.vault)
        spent.append(time.perf_counter() - begun)
        requests.append(len(place.server.counts().requests))
        latest.append(seconds(partial(getattr, trial, "latest")))
        _forget(place, trial)
    trips = opened_after(place, uri)
    median = statistics.median(spent)
    good = median <= LIMIT_OPEN
    print(
        f"  {attempts} attempts, {each * attempts} checkpoints, {ROWS:,} rows: open in {median:.3f} s, "
        f"{requests[0]} requests, {trips} round trips; latest {statistics.median(latest):.3f} s; at most {LIMIT_OPEN} s"
        f"{'' if good else '  MISSED'}"
    )
    return Outcome(good)


def opened_after(place: Place, uri: str) -> int:
    """Sequential round trips: to the record of the start, and one to look once more. Then the background begins."""
    place.server.slow(COUNTING)
    place.server.counts()
    trial = Trial(uri, Keep(latest=10_000), place.vault)
    seen = place.server.counts().requests
    _forget(place, trial)
    recorded = min(at for kind, at in seen if kind == "insert")
    return 1 + chain((at for _, at in seen if at <= recorded), COUNTING)


def _forget(place: Place, trial: Trial) -> None:
    """As if it had never been: each one finds the same history."""
    place.server.slow()
    trial.close()
    for uri in place.vault.list(trial._shelf._layout.attempt(trial.attempt).removesuffix(".json")):
        place.vault.delete(uri)


def commit(vault: GcsVault, layout: TrialLayout, name: Name) -> None:
    for path in range(15):
        vault.write(f"{layout.data(str(name))}/{path}", b"1")
    checkpoint = Checkpoint(name.step, layout.data(str(name)), name.attempt, {"loss": 0.5}, 15, 15)
    vault.write(layout.commit(str(name)), json.dumps(record_of(checkpoint, name, "")).encode(), if_absent=True)


def orbax(place: Place) -> None:
    """The same arrays through Orbax, in an interpreter of its own; ours with ``numpy.save`` and ``numpy.load``."""
    try:
        import numpy as np
    except ImportError:
        print("  beside Orbax: skipped, there is no numpy")
        return
    for theirs in orbax_figures(place):
        shape = theirs["bytes"] // theirs["arrays"] // 4
        arrays = [np.random.default_rng(1).random(shape, np.float32) for _ in range(theirs["arrays"])]
        saved, arrived, requests = [], [], 0
        for _ in range(3):
            with place.trial() as trial:
                place.server.slow(LATENCY)
                place.server.counts()
                saved.append(seconds(partial(save_arrays, trial, arrays, np.save)))
                requests = len(place.server.counts().requests)
                with place.attempt(trial.dir) as fresh:
                    place.server.slow(LATENCY)
                    arrived.append(seconds(partial(restore_arrays, fresh, len(arrays), np.load)))
        print(
            f"  {theirs['bytes'] / 1e6:.0f} MB in {theirs['arrays']} arrays: save {statistics.median(saved):.2f} s, "
            f"{requests} requests; Orbax {theirs['version']} {theirs['save']:.2f} s, "
            f"holds up for {theirs['blocked']:.2f} s;  "
            f"restore {statistics.median(arrived):.2f} s; Orbax {theirs['restore']:.2f} s"
        )


def save_arrays(trial: Trial, arrays: Sequence[Any], write: Callable[[Path, Any], None]) -> None:
    with trial.save(1) as folder:
        for number, array in enumerate(arrays):
            write(folder / f"{number}.npy", array)


def restore_arrays(trial: Trial, count: int, read: Callable[[Path], Any]) -> None:
    with trial.restore() as found:
        assert found is not None
        assert found.path is not None
        assert len([read(found.path / f"{number}.npy") for number in range(count)]) == count


def orbax_figures(place: Place) -> Iterator[dict[str, Any]]:
    """Of Orbax, for each size; none where it cannot be had."""
    command = ["uv", "run", "--no-project", "--with", "orbax-checkpoint", "--with", "gcsfs", "python", str(ORBAX)]
    environ = {
        **{key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")},
        "STORAGE_EMULATOR_HOST": place.server.url,
        "TENSORSTORE_GCS_HTTP_URL": place.server.url,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
        "JAX_PLATFORMS": "cpu",
    }
    place.server.slow(LATENCY)
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        print("  beside Orbax: skipped, there is no uv")
        return
    if done.returncode:
        print(f"  beside Orbax: skipped, it cannot be installed or run: {done.stderr.strip().splitlines()[-1:]}")
        return
    yield from map(json.loads, done.stdout.splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parts whose name has this text: save, restore, change, open, orbax")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as name, object_server() as server:
        place, told = Place(server, Path(name)), list[Outcome]()
        os.environ["KINETIC_TMP"] = name
        cases = {title: made(Path(name) / title, sizes) for title, sizes in CASES.items()}
        for part, work in (("save", saving), ("restore", restoring)):
            if only in part:
                told += [work(place, title, files, rate) for rate in RATES for title, files in cases.items()]
        if only in "change":
            told.append(changing(place, cases["17 files, 280 MiB"]))
        if only in "open":
            told += [opening(place, attempts) for attempts in ATTEMPTS]
        if only in "orbax":
            orbax(place)
    good, unjudged = all(each.good for each in told), sum(each.missed for each in told)
    print(
        f"limits, at {LATENCY * 1000:.0f} ms a request: {'met' if good else 'MISSED where it says so'}; "
        f"{unjudged} rows that are not judged missed theirs"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
