"""A DAG file and a platform for every test, the local one unless it says ``IN_EITHER_STORE``; its jobs train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_shop import CloudShop
from shop import Shop

TRAIN = """
from airflow.sdk import Asset, task


def f(steps=3, then=None):
    from airflow_provider_kinetic import job

    trial = job.trial()
    first = trial.latest.step if trial.latest else 0
    for step in range(first + 1, first + steps + 1):
        trial.log({"loss": 1 / step}, step=step)
    with trial.save(step, loss=1 / step, token="s3cret-of-mine") as folder:
        (folder / "state").write_text(str(step))
    if then == "fail":
        raise ValueError("diverged")
    while then == "sleep":
        time.sleep(1)
    if then == "die":
        os.kill(os.getpid(), 9)
    return step
"""


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    kind = CloudShop if getattr(request, "param", "file") == "gs" else Shop
    with kind.opened(tmp_path, monkeypatch) as shop:
        yield shop


@pytest.fixture
def training() -> str:
    """Source of the function of :func:`train`."""
    return TRAIN


@pytest.fixture
def train(shop: Shop):
    """Run the task once, with these options of the operator and of the function."""

    def run(then=None, **options):
        shop.job(TRAIN, op_kwargs={"then": then}, **options)
        return shop.run()

    return run
