"""Which directory a job of a cluster works in: whole jobs, with their outputs in a bucket (``checkpointing`` 3.2)."""

from __future__ import annotations

import pytest
import tasks
from cloud_shop import CloudShop

from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreError

pytestmark = pytest.mark.faults

TRAINS = """
def f(steps=2, breaks=True):
    from airflow_provider_kinetic import job

    t = job.trial()
    with t.restore() as found:
        start = found.step if found else 0
    for step in range(start + 1, start + steps + 1):
        t.log({"loss": 1 / step}, step=step)
        with t.save(step) as path:
            (path / "state").write_text(str(step))
    note("{gate}")
    if breaks and Path("{gate}", "broken").exists():
        raise ValueError("broken")
    return {"start": start, "latest": t.latest.step, "uri": t.latest.uri, "args": dict(t.args), "source": t.source}
"""


def steps_of(shop: CloudShop, output_dir: str) -> list[int]:
    session = Session({"STORAGE_EMULATOR_HOST": shop.cloud.gcs.url})
    rows = read_rows(GcsVault(session), TrialLayout(output_dir))
    session.close()
    return [row.step for row in rows]


def where(result: tasks.TaskResult) -> str:
    return str(result.xcoms["output_dir"].rpartition("/outputs/")[2])


def test_a_named_trial_over_a_failure_runs_and_a_clear(shop: CloudShop) -> None:
    """Each row of the table that a named trial has, under ``auto``, and a run's own word."""
    shop.job(TRAINS, trial="x", experiment="vision", deferrable=False, retries=1)
    (shop.folder / "broken").touch()
    failed = shop.run()
    (shop.folder / "broken").unlink()
    retried = shop.again(failed)
    next_run = shop.run(run_id="run_2")
    shop.db.confs["run_3"] = {"kinetic_resume": {"job": "never"}}
    anew = shop.run(run_id="run_3")
    for result in (next_run, anew):
        shop.db.clear(result.key, retries=1)
    cleared, again = (shop.run(run_id=run_id) for run_id in ("run_2", "run_3"))

    assert "broken" in str(failed.error)
    assert [one.value["start"] for one in (retried, next_run, anew, cleared, again)] == [2, 4, 0, 2, 0]
    base = where(failed)
    assert base.endswith("/trials/vision/x")
    assert [where(one)[len(base) :] for one in (retried, next_run, anew, cleared, again)] == ["", "", "~2", "~2", "~3"]
    assert steps_of(shop, failed.xcoms["output_dir"]) == [1, 2, 3, 4, 5, 6]
    assert steps_of(shop, cleared.xcoms["output_dir"]) == [1, 2, 3, 4]


def test_a_trial_of_its_own_over_a_failure_and_a_clear(shop: CloudShop) -> None:
    shop.job(TRAINS, deferrable=True, retries=1)
    (shop.folder / "broken").touch()
    failed = shop.run()
    (shop.folder / "broken").unlink()
    retried = shop.again(failed)
    cleared = shop.again(retried, clear=True)

    assert [retried.value["start"], cleared.value["start"]] == [2, 0]
    assert where(cleared) == f"{where(retried)}~2" == f"{where(failed)}~2"


MAPPED = """
with DAG("shop", schedule=None) as dag:
    KineticRunOperator.partial(
        task_id="job", python_callable=f, trial="steps={{ task.op_kwargs.steps }}", retries=1, **JOB
    ).expand(op_kwargs=ITEMS)
"""


def test_items_of_a_mapped_task_keep_their_trials_when_the_list_changes(shop: CloudShop) -> None:
    items = [{"steps": 1, "breaks": True}, {"steps": 3, "breaks": True}]
    (shop.folder / "broken").touch()
    shop.write(TRAINS + MAPPED.replace("ITEMS", repr(items)))
    failed = shop.run(map_index=1)
    (shop.folder / "broken").unlink()
    shop.write(TRAINS + MAPPED.replace("ITEMS", repr(items[::-1])))
    moved = shop.run(map_index=0)

    assert "broken" in str(failed.error)
    assert where(failed) == where(moved)
    assert where(moved).endswith("/steps=3")
    assert moved.value["start"] == 3


def test_a_trial_begins_with_another_one_s_checkpoint(shop: CloudShop) -> None:
    shop.job(TRAINS, deferrable=False)
    trained = shop.run()
    source = trained.value["uri"]
    shop.job(TRAINS, deferrable=False, restore_from=source, trial="tuned")
    tuned = shop.run(run_id="run_2")

    assert (tuned.value["start"], tuned.value["source"]) == (2, source)
    shop.ports.store.delete(TrialLayout(trained.xcoms["output_dir"]).commit(source.rpartition("/")[2]))
    assert shop.run(run_id="run_3").value["start"] == 4, "it has checkpoints of its own"
    shop.job(TRAINS, deferrable=False, restore_from=source)
    gone = shop.run(run_id="run_4")
    assert isinstance(gone.error, ConfigurationError)
    assert source in str(gone.error)


def test_a_source_where_there_can_be_none_is_an_error_before_anything_is_sent(shop: CloudShop) -> None:
    shop.job(TRAINS, deferrable=False, restore_from="gs://nobodys/x/checkpoints/000000000007-a0001-0001")
    error = shop.run().error
    assert isinstance(error, StoreError)
    assert "there is no bucket 'nobodys'" in str(error)
    shop.job(TRAINS, deferrable=False, restore_from="file:///x/checkpoints/000000000007-a0001-0001")
    error = shop.run(run_id="run_2").error
    assert isinstance(error, ConfigurationError)
    assert "jobs of this platform read gs://" in str(error)
    assert shop.jobs == []
    assert shop.artifacts == []
