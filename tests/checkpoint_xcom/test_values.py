"""A checkpoint goes from task to task as a value, and the next function restores from it."""

from __future__ import annotations

import pytest
from airflow.sdk.serde import deserialize, serialize
from cloud_shop import IN_EITHER_STORE

from airflow_provider_kinetic import KineticCheckpoint, job
from airflow_provider_kinetic.hooks.xcom import allow_values
from airflow_provider_kinetic.job.plain import handed_on, plain
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint
from airflow_provider_kinetic.model.errors import ConfigurationError

HERE = KineticCheckpoint("gs://acme/out/checkpoints/000000000007-a0002-0001", 7, 2, {"loss": 0.5, "tags": ["a"]})
assert job.Trial, "what gives checkpoints is loaded"
OURS = Checkpoint(7, HERE.uri, 2, HERE.metadata)


def test_it_passes_xcom():
    allow_values()  # as the plugin does in every process of a task

    assert deserialize(serialize({"checkpoint": HERE, "all": [HERE]})) == {"checkpoint": HERE, "all": [HERE]}


def test_of_a_later_version_what_is_known_is_read():
    assert KineticCheckpoint.deserialize({**HERE.serialize(), "mood": "fine"}) == HERE


@pytest.mark.parametrize(("data", "version"), [({}, 1), ({"uri": 7}, 1), (HERE.serialize(), 2)])
def test_what_cannot_be_read_is_an_error(data, version):
    with pytest.raises(ConfigurationError, match="no checkpoint that this provider can read"):
        KineticCheckpoint.deserialize(data, version)


def test_a_checkpoint_of_the_job_becomes_the_value_wherever_it_is():
    value = {"latest": OURS, "all": [OURS, (OURS, 1)], "loss": 0.5}

    assert handed_on(value) == {"latest": HERE, "all": [HERE, (HERE, 1)], "loss": 0.5}
    assert plain(handed_on(value))
    assert not plain(value)


def test_any_other_value_is_handed_on_itself():
    """Not a copy: large ones, and those in which one thing is in two places."""
    row = [1, 2]
    value = {"rows": [row, row], "of": (None, {})}

    assert handed_on(value) is value


def test_a_value_that_contains_itself_stays():
    loop: list = []
    loop += [loop, OURS]

    assert handed_on(loop) is loop


PIPELINE = """

@task.kinetic(**LOCAL{options})
def train():
    from airflow_provider_kinetic import job

    trial = job.trial()
    with trial.save(5, loss=0.5) as folder:
        (folder / "state").write_text("of step 5")
    return {{"checkpoint": trial.latest, "loss": 0.5}}


@task.kinetic(**LOCAL)
def evaluate(checkpoint):
    from airflow_provider_kinetic import job

    with job.trial().restore(checkpoint) as found:
        return [type(checkpoint).__name__, found.step, (found.path / "state").read_text()]


@task.kinetic(**LOCAL)
def fine_tune():
    from airflow_provider_kinetic import job

    with job.trial().restore() as found:
        return (found.path / "state").read_text()


@task
def report(checkpoint):
    return [type(checkpoint).__name__, checkpoint.step, checkpoint.metadata["loss"]]


with DAG('shop', schedule=None) as dag:
    trained = train()
    evaluate.override(task_id="evaluate")(trained["kinetic_checkpoint"])
    evaluate.override(task_id="evaluate_returned")(trained{returned})
    fine_tune.override(task_id="fine_tune", restore_from=trained["kinetic_checkpoint"])()
    report(trained["kinetic_checkpoint"])
"""


def write(shop, options="", returned='["checkpoint"]'):
    shop.write("\nfrom airflow.sdk import task\n" + PIPELINE.format(options=options, returned=returned))


def value_of(shop, task_id):
    result = shop.run(task_id)
    assert result.state == "success", "\n".join(result.log)
    return result.value


@IN_EITHER_STORE
def test_train_then_evaluate(shop):
    write(shop)
    returned = value_of(shop, "train")

    assert returned["loss"] == 0.5
    assert returned["checkpoint"].step == 5
    assert value_of(shop, "evaluate") == ["KineticCheckpoint", 5, "of step 5"]
    assert value_of(shop, "report") == ["KineticCheckpoint", 5, 0.5]


@pytest.mark.faults
@pytest.mark.parametrize("options", [", multiple_outputs=True"])
def test_one_that_the_function_returns(shop, options):
    write(shop, options)
    value_of(shop, "train")

    assert value_of(shop, "evaluate_returned") == ["KineticCheckpoint", 5, "of step 5"]


@IN_EITHER_STORE
@pytest.mark.faults
def test_a_new_trial_begins_with_it(shop):
    write(shop)
    value_of(shop, "train")

    assert value_of(shop, "fine_tune") == "of step 5"
