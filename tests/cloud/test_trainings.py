"""A training loses its machines at any moment, and its pods go on in one directory: no step is lost or done twice."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from cloud_shop import CloudShop

from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.lifecycle import trial

pytestmark = pytest.mark.faults

TRAINING = """
def f():
    from airflow_provider_kinetic import job

    t = job.trial()
    with t.restore() as found:
        start = int((found.path / "state").read_text()) if found else 0
    note("{gate}")
    for step in range(start + 1, 301):
        time.sleep(0.02)
        t.log({"loss": 1 / step}, step=step)
        if t.stopping(step) or step % 25 == 0:
            with t.save(step) as path:
                (path / "state").write_text(str(step))
        t.exit_if_stopping()
    return step
"""
LIVES = 5


@pytest.mark.parametrize("how", ["preempt", "shut_down_node"])
def test_a_training_goes_on_where_it_stopped(shop: CloudShop, how: str) -> None:
    shop.job(TRAINING, deferrable=False, spot=True)
    chance = random.Random(how)

    def take_away() -> None:
        for life in range(1, LIVES):
            pod = shop.running(life)
            time.sleep(chance.uniform(0, 0.3))
            getattr(shop.cloud.kube, how)(pod)

    with shop.meanwhile(take_away):
        result = shop.run()
    assert (result.state, result.value) == ("success", 300), result.log
    attempts = trial.attempts(shop.ports.store, result.xcoms["output_dir"])
    assert [attempt.number for attempt in attempts] == list(range(1, LIVES + 1))
    ends: list[Any] = [attempt.end for attempt in attempts]
    assert [end["state"] for end in ends] == ["PREEMPTED"] * (LIVES - 1) + ["COMPLETED"]
    saved = [end["checkpoint"]["step"] for end in ends]
    assert [attempt.record["parent"]["checkpoint"]["step"] for attempt in attempts[1:]] == saved[:-1]
    assert saved == sorted(set(saved))
    session = Session({"STORAGE_EMULATOR_HOST": shop.cloud.gcs.url})
    rows = read_rows(GcsVault(session), TrialLayout(result.xcoms["output_dir"]))
    session.close()
    assert [(row.step, row.values) for row in rows] == [(step, {"loss": 1 / step}) for step in range(1, 301)]
