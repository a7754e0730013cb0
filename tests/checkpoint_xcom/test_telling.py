"""After a job, however it ended, its task says how far the training is."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
import tasks
from cloud_shop import IN_EITHER_STORE
from installation import TaskKey

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint
from airflow_provider_kinetic.model.errors import (
    InfrastructureError,
    JobPreempted,
    JobStalled,
    JobTimeout,
    UserCodeError,
)

LINE = "Attempt 1: last checkpoint at step 3"


IN_THE_WORKER = pytest.param(False, id="in the worker", marks=pytest.mark.faults)


@pytest.mark.parametrize("deferrable", [IN_THE_WORKER, pytest.param(True, id="deferred")])
@IN_EITHER_STORE
def test_of_a_success(train, shop, deferrable):
    result = train(deferrable=deferrable)

    assert result.value == 3
    told, checkpoint = result.xcoms["kinetic_trial"], result.xcoms["kinetic_checkpoint"]
    assert (told["state"], told["attempt"], told["step"], told["preemptions"]) == ("COMPLETED", 1, 3, 0)
    assert told["dir"] == result.xcoms["output_dir"]
    assert told["metrics"]["train/loss"] == pytest.approx(1 / 3)
    assert isinstance(checkpoint, KineticCheckpoint)
    assert (checkpoint.step, checkpoint.attempt, checkpoint.kind) == (3, 1, "kinetic")
    assert checkpoint.metadata["loss"] == pytest.approx(1 / 3)
    assert shop.ports.store.read(f"{checkpoint.uri}/state") == b"3"
    assert any(line.startswith(LINE) and told["dir"] in line for line in result.log)


@IN_EITHER_STORE
def test_of_an_exception(train):
    result = train("fail")

    assert isinstance(result.error, UserCodeError)
    assert LINE in result.error.summary
    assert isinstance(result.error.__cause__, ValueError)
    assert result.xcoms["kinetic_trial"]["state"] == "FAILED"
    assert result.xcoms["kinetic_checkpoint"].step == 3


@IN_EITHER_STORE
@pytest.mark.faults
def test_of_a_process_that_died(train):
    result = train("die", deferrable=True)

    assert isinstance(result.error, InfrastructureError)
    assert LINE in result.error.summary.splitlines()[0]
    assert result.xcoms["kinetic_checkpoint"].step == 3


@pytest.mark.faults
def test_of_a_job_that_passed_its_deadline(train):
    result = train("sleep", run_timeout=4)

    assert isinstance(result.error, JobTimeout)
    assert LINE in result.error.summary
    assert result.xcoms["kinetic_checkpoint"].step == 3


@pytest.mark.faults
@pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
def test_of_a_task_that_passed_its_deadline(train, deferrable):
    result = train("sleep", execution_timeout=timedelta(seconds=5), deferrable=deferrable)

    assert result.state == "failed"
    assert result.xcoms["kinetic_checkpoint"].step == 3
    assert any(LINE in line for line in result.log)


STALLING = """
def f():
    from airflow_provider_kinetic import job
    trial = job.trial()
    step = trial.latest.step if trial.latest else 0
    with trial.save(step + 1):
        pass
    while step == 0:
        time.sleep(1)
    return step
"""


@pytest.mark.faults
@pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
def test_a_stalled_job_fails_its_task_and_a_retry_goes_on(shop, deferrable):
    shop.job(STALLING, stall_timeout=1.5, deferrable=deferrable, retries=1)

    result = shop.run()

    assert result.state == "up_for_retry"
    assert type(result.error) is JobStalled
    first, *_ = result.error.summary.splitlines()
    assert "no step, no progress and no checkpoint for 1.5 s" in first
    assert "last checkpoint at step 1" in first
    assert "in f" in result.error.summary, "the stacks are among the last output"
    assert result.xcoms["kinetic_trial"]["state"] == "FAILED"
    assert result.xcoms["kinetic_trial"]["preemptions"] == 0
    assert shop.again(result).value == 1


PREEMPTED = """
def f():
    from airflow_provider_kinetic import job
    trial = job.trial()
    first = trial.latest is None
    with trial.save(trial.attempt):
        pass
    if first:
        at_the_gate("{gate}")
    return trial.attempt
"""


@pytest.mark.faults
@pytest.mark.parametrize("budget", [0, 3])
def test_of_a_job_whose_machine_was_taken_away(shop, budget):
    shop.job(PREEMPTED, max_preemptions=budget)

    def take_away():
        while not shop.begun:
            time.sleep(0.05)
        handle = shop.handle()
        KineticHook.of(handle, "kinetic_default").ports.cluster.preempt(handle.k8s_name, hard=True)

    thread = threading.Thread(target=take_away)
    thread.start()
    result = shop.run()
    thread.join()

    said = str(result.error.summary if result.error else result.log)
    assert "preempted 1 time, lost" in said
    assert result.xcoms["kinetic_trial"]["preemptions"] == 1
    if budget:
        assert result.value == 2
        assert result.xcoms["kinetic_checkpoint"].step == 2
    else:
        assert type(result.error) is JobPreempted
        assert result.xcoms["kinetic_checkpoint"].step == 1


def test_nothing_of_a_job_that_does_not_train(shop):
    shop.job("def f(): return 7")

    result = shop.run()

    assert result.value == 7
    assert not {"kinetic_trial", "kinetic_checkpoint"} & set(result.xcoms)
    assert not [line for line in result.log if "Attempt" in line]


@pytest.mark.faults
def test_a_trial_that_cannot_be_read_does_not_undo_a_result(train, monkeypatch):
    """Its store is away by then."""
    from airflow_provider_kinetic.operators import training

    monkeypatch.setattr(training, "PATIENCE", 0.0)

    result = train()

    assert result.value == 3
    assert "kinetic_trial" not in result.xcoms
    assert any("could not be told: no answer within 0 s" in line for line in result.log)


@pytest.mark.parametrize("deferrable", [IN_THE_WORKER, pytest.param(True, id="deferred")])
def test_a_known_secret_is_masked(train, deferrable):
    result = train(secrets={"TOKEN": "s3cret-of-mine"}, deferrable=deferrable)

    assert result.value == 3
    assert result.xcoms["kinetic_checkpoint"].metadata["token"] == "***"
    assert "s3cret" not in "\n".join(result.log)


@pytest.mark.faults
def test_secrets_that_cannot_be_rendered_any_more_do_not_lose_the_result(shop, training):
    secrets = {"TOKEN": "{{ var.value.token }}"}
    shop.db.variables["token"] = "s3cret-of-mine"
    task = shop.job(training, secrets=secrets, deferrable=True)
    key = TaskKey("shop", "job", "run_1")
    shop.db.queue(key, max_tries=0, operator=task.task_type)
    tasks.work(task, shop.db, key)
    tasks.watch(shop.db, key)
    del shop.db.variables["token"]

    with tasks.captured_log() as log:
        outcome = tasks.work(shop.load("job"), shop.db, key)

    assert (outcome.state, outcome.error) == ("success", None)
    assert "could not be rendered" in "\n".join(log)


STAGES = (
    "\n\nwith DAG('shop', schedule=None) as dag:\n"
    "    submit = KineticSubmitOperator(task_id='job', python_callable=f, **LOCAL)\n"
    "    wait = KineticJobSensor(task_id='wait', job=submit.output['kinetic_job'])\n"
    "    collect = KineticCollectOperator(task_id='collect', job=submit.output['kinetic_job'])\n"
)


@pytest.mark.faults
def test_the_stages_as_tasks_tell_it_too(shop, training):
    shop.write(training + STAGES)
    assert shop.run("job").state == "success"

    for task_id in ("wait", "collect"):
        result = shop.run(task_id)
        assert result.state == "success", result.log
        assert result.xcoms["kinetic_checkpoint"].step == 3
