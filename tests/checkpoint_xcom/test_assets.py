"""The event of an asset names the checkpoint that its task made, and nothing deletes that one."""

from __future__ import annotations

from pathlib import Path

import pytest
import tasks
from cloud_shop import IN_EITHER_STORE

from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.lifecycle.reader import TrialReader

MODELS = (
    "\n\nwith DAG('shop', schedule=None) as dag:\n"
    "    KineticRunOperator(task_id='job', python_callable=f, retries=1, deferrable={deferrable}, op_kwargs={kwargs},\n"
    "                       outlets=[Asset('models'), Asset('other')], **LOCAL)\n"
)


@pytest.fixture
def run(shop, training):
    def run(**kwargs):
        shop.write(training + MODELS.format(deferrable=kwargs.pop("deferrable", True), kwargs=kwargs))
        return shop.run()

    return run


def events(shop, result):
    """What Airflow makes asset events of."""
    return shop.db.rows[result.key].ending.get("outlet_events", [])


@IN_EITHER_STORE
def test_a_success_names_it_in_the_event(shop, run):
    result = run()

    checkpoint = result.xcoms["kinetic_checkpoint"]
    assert {event["dest_asset_key"]["name"] for event in events(shop, result)} == {"models", "other"}
    for event in events(shop, result):
        assert event["extra"]["kinetic_checkpoint"]["uri"] == checkpoint.uri
        assert event["extra"]["kinetic_checkpoint"]["step"] == 3
        assert event["extra"]["kinetic_trial"]["metrics"]["train/loss"] == pytest.approx(1 / 3)
    found = TrialReader(shop.ports.store, result.xcoms["output_dir"]).checkpoints()
    assert [(each.uri, each.pinned) for each in found] == [(checkpoint.uri, True)]


@IN_EITHER_STORE
@pytest.mark.faults
def test_a_failure_makes_no_event(shop, run):
    result = run(then="fail")

    assert result.state == "up_for_retry"
    assert events(shop, result) == []
    found = TrialReader(shop.ports.store, result.xcoms["output_dir"]).checkpoints()
    assert [each.pinned for each in found] == [False]


@pytest.mark.faults
def test_retention_of_later_attempts_spares_it(shop, run):
    first = run(deferrable=False)
    announced = first.xcoms["kinetic_checkpoint"]
    for _ in range(3):
        task = shop.load("job")
        task.resume = "always"
        shop.db.clear(first.key, retries=1)
        assert tasks.run(task, shop.db).state == "success"

    kept = [path.name for path in Path(uri_to_path(announced.uri)).parent.iterdir()]
    assert announced.uri.rpartition("/")[2] in kept
    assert len(kept) == 4, "each was announced"
