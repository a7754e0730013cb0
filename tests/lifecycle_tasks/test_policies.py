"""When a task that runs a whole job cleans up after it, and who may cancel a job."""

from __future__ import annotations

import pytest
from installation import TaskKey
from project import until
from tasks import watch, work

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.status import JobState

WATCHED = """
def f(): at_the_gate("{gate}")

with DAG("shop", schedule=None) as dag:
    submit = KineticSubmitOperator(task_id="submit", python_callable=f, **LOCAL)
    options = dict(job=submit.output["kinetic_job"], retries=1)
    KineticJobSensor(task_id="patient", deferrable=False, **options)
    KineticJobSensor(task_id="deferred", deferrable=True, **options)
    KineticJobSensor(task_id="owner", deferrable=True, cancel_on_kill=True, **options)
    KineticRunOperator(task_id="attached", job_id=submit.output, deferrable=True)
    KineticRunOperator(task_id="adopted", job_id=submit.output, deferrable=True, cancel_on_kill=True)
"""


@pytest.mark.parametrize(
    ("policy", "fails", "cleaned"),
    [
        (None, False, True),
        (None, True, False),
        ("on_success", True, False),
        ("always", True, True),
        ("always", False, True),
        ("never", False, False),
    ],
)
def test_policy(shop, policy, fails, cleaned):
    shop.job(f"def f():\n    print('hello')\n    if {fails}: raise ValueError('broken')\n    return 42", cleanup=policy)

    result = shop.run()

    handle = shop.handle()
    assert result.state == ("failed" if fails else "success")
    assert (shop.artifacts == []) == cleaned
    assert (shop.ports.cluster.status(handle).state is JobState.NOT_FOUND) == cleaned
    assert len(shop.ports.store.list(handle.logs)) == 1, "the log stays"


def test_the_policy_of_the_configuration_holds_unless_the_task_says_more(shop):
    shop.monkeypatch.setenv("AIRFLOW__KINETIC__CLEANUP", "never")
    shop.job("def f(): return 42")

    assert shop.run().state == "success"
    assert shop.artifacts == [shop.handle().job_id]


def test_an_unknown_policy_is_found_when_the_dag_is_parsed(shop):
    with pytest.raises(ConfigurationError, match="on_success, always, never"):
        shop.job("def f(): return 42", cleanup="sometimes")


@pytest.fixture
def watched(shop):
    shop.write(WATCHED)
    shop.run("submit")
    until(lambda: shop.begun)
    return shop


@pytest.mark.parametrize(
    ("task_id", "cancels"), [("deferred", False), ("attached", False), ("owner", True), ("adopted", True)]
)
@pytest.mark.parametrize("action", ["clear", "failed"])
def test_only_who_is_asked_to_cancels_a_job_that_another_task_submitted(watched, task_id, cancels, action):
    key = TaskKey("shop", task_id, "run_1")
    watched.db.queue(key, max_tries=1)
    work(watched.load(task_id), watched.db, key)
    handle = watched.handle("submit")

    def meanwhile():
        if watched.db.rows[key].state == "deferred":
            watched.db.clear(key) if action == "clear" else watched.db.mark(key, action)

    watch(watched.db, key, meanwhile=meanwhile)

    if cancels:
        until(lambda: watched.ports.cluster.status(handle).state is JobState.NOT_FOUND)
    else:
        status = watched.ports.cluster.status(handle)
        assert (status.state, status.stopping) == (JobState.RUNNING, False)
