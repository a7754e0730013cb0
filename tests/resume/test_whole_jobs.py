"""Real jobs that are retried, cleared and run again: what the function finds is what the table promises."""

from __future__ import annotations

import json
import re

import pytest
from installation import TaskKey
from project import until
from tasks import captured_log, watch, work

from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.lifecycle.reader import TrialReader
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError, JobPreempted

pytestmark = pytest.mark.faults

TRAINS = """
def f(steps=3, breaks_at=0):
    from airflow_provider_kinetic import job
    t = job.trial()
    with t.restore() as found:
        start = found.step if found else 0
    for step in range(start + 1, steps + 1):
        t.log({"loss": 1 / step}, step=step)
        with t.save(step) as folder:
            (folder / "state").write_text(str(step))
        if step == breaks_at and Path("{gate}", "broken").exists():
            raise ValueError("broken")
    return {"start": start, "latest": t.latest.step, "uri": t.latest.uri}
"""


def rows(output_dir: str) -> list[int]:
    """Steps of all rows that were ever logged."""
    segments = (uri_to_path(output_dir) / ".kinetic" / "metrics").glob("*/*.jsonl")
    return sorted(json.loads(line)["s"] for path in segments for line in path.read_text().splitlines())


@pytest.fixture
def broken(shop):
    path = shop.folder / "broken"
    path.touch()
    return path


def test_a_retry_goes_on_and_a_clear_of_what_completed_begins_anew(shop, broken):
    shop.job(TRAINS, retries=1, op_kwargs={"breaks_at": 2})
    first = shop.run()
    broken.unlink()
    second = shop.again(first)
    third = shop.again(second, clear=True)

    assert "broken" in str(first.error)
    assert (second.value["start"], second.xcoms["output_dir"]) == (2, first.xcoms["output_dir"])
    assert (third.value["start"], third.xcoms["output_dir"]) == (0, f"{first.xcoms['output_dir']}~2")


def test_always_goes_on_after_the_end_and_repeats_no_step(shop):
    """checkpointing 4, row 19."""
    shop.job(TRAINS, resume="always")
    first = shop.run()
    second = shop.again(first, clear=True)

    assert second.xcoms["output_dir"] == first.xcoms["output_dir"]
    assert (second.value["start"], second.value["latest"]) == (3, 3)
    assert rows(second.xcoms["output_dir"]) == [1, 2, 3]


@pytest.mark.parametrize("named_by", ["train.output", 'train.output["kinetic_checkpoint"]'])
def test_a_task_begins_with_the_checkpoint_of_the_one_before_it(shop, named_by):
    """Whether the function returned it, or its trial tells of it."""
    shop.write(
        TRAINS
        + f"""
def g():
    f()
    from airflow_provider_kinetic import job
    return job.trial().latest

with DAG("shop", schedule=None) as dag:
    train = KineticRunOperator(task_id="train", python_callable=g, **LOCAL)
    given = {named_by}
    KineticRunOperator(task_id="tune", python_callable=f, op_kwargs={{"steps": 5}}, restore_from=given, **LOCAL)
"""
    )
    trained = shop.run("train")
    tuned = shop.run("tune")

    assert (tuned.value["start"], tuned.value["latest"]) == (3, 5)
    source = json.loads((uri_to_path(tuned.xcoms["output_dir"]) / ".kinetic" / "trial.json").read_text())["source"]
    assert source == trained.value.uri


def test_a_source_that_is_not_there_is_an_error_before_anything_is_sent(shop):
    gone = (shop.platform / "outputs/x/checkpoints/000000000001-a0001-0001").as_uri()
    shop.job(TRAINS, restore_from=gone)

    error = shop.run().error

    assert isinstance(error, ConfigurationError)
    assert gone in str(error)
    assert shop.artifacts == []


def test_a_source_that_has_gone_since_is_needed_no_more(shop, broken):
    shop.job(TRAINS)
    source = uri_to_path(shop.run().value["uri"])
    shop.job(TRAINS, retries=1, op_kwargs={"steps": 5, "breaks_at": 4}, restore_from=source.as_uri())
    first = shop.run(run_id="run_2")
    (source.parents[1] / ".kinetic" / "checkpoints" / f"{source.name}.json").unlink()
    broken.unlink()

    assert "broken" in str(first.error)
    assert shop.again(first).value["start"] == 4


def test_a_try_that_adopts_its_job_stays_in_its_directory(shop):
    """Whatever the policy: there is one generation for each submission."""
    shop.job(
        "def f():\n    note('{gate}')\n    at_the_gate('{gate}')\n    return os.environ['KINETIC_OUTPUT_DIR']",
        resume="never",
        retries=1,
        deferrable=True,
    )
    key = TaskKey("shop", "job", "run_1")
    shop.db.queue(key, max_tries=1)
    work(shop.load("job"), shop.db, key)
    until(lambda: shop.begun)
    shop.db.retry(key)
    shop.open_gate()

    second = shop.run()

    assert len(shop.calls) == 1
    assert second.value == str(uri_to_path(second.xcoms["output_dir"]))
    assert second.xcoms["output_dir"].endswith("/run_1")


def test_a_job_that_was_never_created_gets_the_directory_that_its_task_names_now(shop):
    shop.job("import threading\n" + TRAINS, retries=1, op_kwargs={"steps": 1}, output_dir=f"{shop.folder}/first")
    shop.write(shop.dag_file.read_text().replace("{'steps': 1}", "{'steps': threading.Lock()}"))
    first = shop.run()
    shop.job(TRAINS, retries=1, output_dir=f"{shop.folder}/second")

    second = shop.again(first)

    assert "op_kwargs" in str(first.error) or "steps" in str(first.error)
    assert second.xcoms["output_dir"] == (shop.folder / "second").as_uri()
    assert second.value["start"] == 0


def test_a_source_that_goes_while_its_job_waits_is_named_by_the_task(shop):
    """Between submit and start: ``restore`` finds out."""
    shop.job(TRAINS)
    source = uri_to_path(shop.run().value["uri"])
    goes = f"Path({str(source.parents[1])!r}, '.kinetic/checkpoints/{source.name}.json').unlink(missing_ok=True)"
    shop.job(TRAINS.replace("    t = job", f"    {goes}\n    t = job"), restore_from=source.as_uri())

    error = shop.run(run_id="run_2").error

    assert type(error) is CheckpointCorrupt
    assert f"{source.as_uri()} is not there, or no longer" in str(error)


SIDE_BY_SIDE = """
def f():
    from airflow_provider_kinetic import job
    t = job.trial()
    note("{gate}")
    for step in range(1, 1000):
        time.sleep(0.05)
        with t.save(t.attempt * 1000 + step):
            pass
        if t.attempt > 1 and Path("{gate}", "open").exists():
            return t.attempt

with DAG("shop", schedule=None) as dag:
    for name in ("one", "other"):
        KineticRunOperator(task_id=name, python_callable=f, trial="x", experiment="e", deferrable=True, **LOCAL)
"""


def test_of_two_tasks_that_name_one_trial_the_older_is_told_who_has_taken_it(shop):
    shop.write(SIDE_BY_SIDE)
    keys = [TaskKey("shop", name, "run_1") for name in ("one", "other")]
    with captured_log() as log:
        for number, key in enumerate(keys, 1):
            shop.db.queue(key)
            work(shop.load(key.task_id), shop.db, key)
            until(lambda number=number: len(shop.calls) >= number, 60)
    watch(shop.db, keys[0])
    first = shop.run("one")
    shop.open_gate()
    watch(shop.db, keys[1])
    second = shop.run("other")

    one, other = shop.calls
    assert any(f"has not ended. If job {one} (dag shop, task one, run run_1) still runs" in line for line in log)
    assert type(first.error) is JobPreempted
    taken = re.search(rf"attempt (\d+) \(job {other}, dag shop, task other, run run_1\) has begun", str(first.error))
    assert taken
    assert "a `trial` each" in str(first.error)
    assert second.state == "success"
    assert second.value >= int(taken[1]) >= 2  # a start that sees another commit takes another number
    steps = [found.step for found in TrialReader(shop.ports.store, second.xcoms["output_dir"]).checkpoints()]
    assert max(steps) > 2000


def test_must_fails_before_anything_is_sent(shop):
    shop.job(TRAINS, resume="must")

    assert 'resume="must"' in str(shop.run().error)
    assert shop.artifacts == []
    assert not (shop.platform / "outputs").exists()
