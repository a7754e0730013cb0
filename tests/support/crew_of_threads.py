"""Fixtures: several processes of one trial. Threads here, each with a trial of its own, only the store between them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from checkpoint_files import noise, read, write

from airflow_provider_kinetic.job.training.hosts import Host
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial

COMMON = {"frozen": noise("frozen", 200_000), **{f"same/{n}": b"same" for n in range(20)}}


def shard(process, step):
    return {**COMMON, f"shard-{process}": noise((process, step), 1000), f"of each/{process}": b""}


@pytest.fixture(autouse=True)
def soon(monkeypatch, tmp_path):
    """Those who wait for somebody that does not come need not wait long."""
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "10")
    monkeypatch.setenv("KINETIC_STOP_FILE", str(tmp_path / "stop"))


@pytest.fixture
def at_once():
    with ThreadPoolExecutor(8) as pool:

        def call(function, items):
            """Results, or what was raised."""
            futures = [pool.submit(function, item) for item in items]
            return [future.exception(30) or future.result() for future in futures]

        yield call


@pytest.fixture
def meet(place, at_once):
    def meet(processes=4, keep=None):
        def begin(process):
            return Trial(place.uri, keep or Keep(latest=100), place.vault, Host(process, processes))

        trials = at_once(begin, range(processes))
        place.attempts.extend(each for each in trials if isinstance(each, Trial))
        return trials

    return meet


@pytest.fixture
def save(at_once):
    def save(trials, step, files=shard, wait=True, **metadata):
        def one(trial):
            with trial.save(step, wait=wait, **metadata) as folder:
                write(folder, files(trial.process, step))

        return at_once(one, trials)

    return save


@pytest.fixture
def restored(at_once):
    def restored(trials, **options):
        def one(trial):
            with trial.restore(**options) as found:
                return (found.step, read(found.path)) if found else None

        return at_once(one, trials)

    return restored


def everything(step, processes=4):
    return {name: data for process in range(processes) for name, data in shard(process, step).items()}
