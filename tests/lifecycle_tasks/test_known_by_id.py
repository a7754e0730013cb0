"""A job is found by its id whatever became of its artifacts, and nothing else is."""

from __future__ import annotations

import pytest
from project import until

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import JobNotFound
from airflow_provider_kinetic.model.status import JobState, Reason

CANCELLED = """
def f(): at_the_gate("{gate}")

with DAG("shop", schedule=None) as dag:
    submit = KineticSubmitOperator(task_id="submit", python_callable=f, **{**LOCAL, "stop_grace": 5})
    KineticCleanupOperator(task_id="clean", job=submit.output["kinetic_job"])
"""


@pytest.mark.faults
def test_a_job_that_a_clean_up_cancelled_is_known_and_leaves_nothing_behind(shop):
    shop.write(CANCELLED)
    shop.run("submit")
    until(lambda: shop.begun)
    job_id = shop.handle("submit").job_id

    assert shop.run("clean").state == "success"

    until(lambda: not shop.processes())
    assert shop.artifacts == []
    hook = KineticHook()
    status = hook.status(hook.attach(job_id))
    assert (status.state, status.reason) == (JobState.NOT_FOUND, Reason.CANCELLED)
    assert "shop.clean" in status.message


def test_a_running_job_is_known_although_its_artifacts_were_deleted(shop):
    shop.write(CANCELLED)
    shop.run("submit")
    until(lambda: shop.begun)
    handle = shop.handle("submit")

    shop.ports.store.delete_prefix(handle.prefix)

    assert KineticHook().attach(handle.job_id).k8s_name == handle.k8s_name
    shop.open_gate()
    until(lambda: shop.ports.cluster.status(handle).state.terminal)


@pytest.mark.parametrize("job_id", ["", "job-0", "../outputs/shop", "job-1/../../x", "/etc", "a" * 300])
def test_what_is_no_id_is_no_path_either(shop, job_id):
    shop.job("def f(): return 42")
    shop.run()
    with pytest.raises(JobNotFound):
        KineticHook().attach(job_id)


def test_an_empty_job_id_attaches_to_nothing_and_submits_nothing(shop):
    shop.job("def f(): return 42", job_id="{{ '' }}")

    result = shop.run()

    assert isinstance(result.error, JobNotFound)
    assert shop.artifacts == []


@pytest.mark.faults
@pytest.mark.parametrize(("policy", "left"), [("always", False), ("on_success", True)])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_that_timed_out_is_cleaned_as_the_policy_says(shop, deferrable, policy, left):
    shop.job(
        'def f(): at_the_gate("{gate}")', deferrable=deferrable, cleanup=policy, run_timeout=1, retries=0, stop_grace=2
    )

    assert shop.run().state == "failed"
    assert bool(shop.artifacts) == left
