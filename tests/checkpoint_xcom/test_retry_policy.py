"""The example of a retry policy: Airflow asks it with the very error of the job."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
import tasks
from airflow.sdk import RetryAction
from workers import load_task

from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model import errors

EXAMPLE = Path(__file__).parents[2] / "examples" / "retry_policy.py"


@pytest.fixture
def example(shop):
    """Load the example's task for this platform."""
    shop.dag_file.write_text(EXAMPLE.read_text().replace("\n\nretry_policy()\n", "\n\ndag = retry_policy()\n"))

    def load(**attributes):
        task = load_task(shop.dag_file, "train")
        vars(task).update({"container_image": sys.executable, "deferrable": False, **attributes})
        return task

    return load


@pytest.fixture
def policy(example):
    return example().retry_policy


def user_error(cause):
    error = errors.UserCodeError("train() raised")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (user_error(ValueError("no such layer")), RetryAction.FAIL, None),
        (user_error(ConnectionResetError()), RetryAction.DEFAULT, None),
        (user_error(None), RetryAction.DEFAULT, None),
        (errors.CheckpointCorrupt("damaged"), RetryAction.FAIL, None),
        (errors.ArtifactCorrupt("replaced"), RetryAction.DEFAULT, None),
        (errors.AcceleratorError("no such"), RetryAction.FAIL, None),
        (errors.JobOutOfMemory("16 GiB"), RetryAction.FAIL, None),
        (errors.JobPreempted("11 times"), RetryAction.RETRY, timedelta(0)),
        (errors.JobStalled("no step"), RetryAction.RETRY, timedelta(seconds=10)),
        (errors.JobVanished("gone"), RetryAction.DEFAULT, None),
    ],
    ids=repr,
)
def test_what_it_says(policy, error, action, delay):
    decision = policy.evaluate(error, try_number=1, max_tries=5)

    assert (decision.action, decision.retry_delay) == (action, delay)


def test_a_mistake_is_not_tried_again(example, shop):
    result = tasks.run(example(op_kwargs={"steps": "many"}), shop.db)

    assert isinstance(result.error.__cause__, TypeError)
    assert result.state == "failed", "five tries were left"


@pytest.mark.faults
@pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
def test_damaged_checkpoints_are_not_tried_again(example, shop, deferrable):
    task = example(op_kwargs={"steps": 200}, resume="always", deferrable=deferrable)
    result = tasks.run(task, shop.db)
    assert result.value == {"weight": pytest.approx(1.0), "went_on_after": 0}
    for file in Path(uri_to_path(result.xcoms["output_dir"])).glob("checkpoints/*/weight"):
        file.write_text("?")

    shop.db.clear(result.key, retries=5)
    again = tasks.run(example(op_kwargs={"steps": 300}, resume="always", deferrable=deferrable), shop.db)

    assert bool(again.deferrals) is deferrable
    assert type(again.error) is errors.CheckpointCorrupt
    assert again.state == "failed"


@pytest.mark.faults
def test_a_stall_is_tried_again_soon(example, shop):
    """Before its first step, which takes longer than it may."""
    result = tasks.run(example(op_kwargs={"steps": 10**9}, stall_timeout=0.002, stop_grace=1), shop.db)

    assert type(result.error) is errors.JobStalled
    assert result.state == "up_for_retry"
    assert shop.db.rows[result.key].ending["retry_delay_seconds"] == 10
