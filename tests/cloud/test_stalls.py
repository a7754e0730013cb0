"""A training on a cluster that hangs is ended in its pod, and the next try goes on from the bucket."""

from __future__ import annotations

import pytest
from cloud_shop import CloudShop

from airflow_provider_kinetic.model.errors import CheckpointCorrupt, JobStalled

pytestmark = pytest.mark.faults

HANGING = """
def f():
    from airflow_provider_kinetic import job

    t = job.trial()
    with t.restore() as found:
        if found:
            return (found.path / "state").read_text()
    t.log({"loss": 0.5}, step=1)
    with t.save(1, loss=0.5) as path:
        (path / "state").write_text("of step 1")
    note("{gate}")
    sum(range(10**12))
"""


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
def test_a_hanging_training_fails_its_try_and_the_next_one_goes_on(shop: CloudShop, deferrable: bool) -> None:
    shop.job(HANGING, deferrable=deferrable, stall_timeout=2, retries=1)

    result = shop.run()

    assert type(result.error) is JobStalled, (result.error, result.log)
    assert "for 2 s (stall_timeout)" in result.error.summary
    assert "last checkpoint at step 1" in result.error.summary
    assert len(shop.calls) == 1, "the cluster does not start it again"
    checkpoint = result.xcoms["kinetic_checkpoint"]
    assert checkpoint.uri.startswith("gs://")
    assert checkpoint.metadata == {"loss": 0.5}
    assert result.xcoms["kinetic_trial"]["state"] == "FAILED"
    assert result.xcoms["kinetic_trial"]["metrics"] == {"train/loss": 0.5}

    again = shop.again(result)

    assert again.value == "of step 1", again.log
    assert (again.xcoms["kinetic_trial"]["state"], again.xcoms["kinetic_trial"]["attempt"]) == ("COMPLETED", 2)


def test_a_damaged_checkpoint_fails_the_task_as_itself(shop: CloudShop) -> None:
    shop.job(HANGING.replace("sum(range(10**12))", "raise OSError"), retries=1)
    result = shop.run()
    shop.ports.store.write(f"{result.xcoms['kinetic_checkpoint'].uri}/state", b"?")

    assert type(shop.again(result).error) is CheckpointCorrupt
