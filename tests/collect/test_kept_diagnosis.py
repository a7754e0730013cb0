"""How a job ended is kept beside its outputs, with its last words, before anything of it is deleted."""

from __future__ import annotations

import json
import shutil

import pytest
from project import until

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.lifecycle.collect import collect
from airflow_provider_kinetic.model.errors import JobCancelled, UserCodeError
from airflow_provider_kinetic.model.status import JobState, Reason

DIES = "def f():\n    print('about to go', flush=True)\n    os._exit(7)"
SUBMIT = """
def f():
    print("waiting", flush=True)
    at_the_gate("{gate}")

with DAG("shop", schedule=None) as dag:
    KineticSubmitOperator(task_id="job", python_callable=f, **LOCAL)
"""


def kept(shop):
    return json.loads(shop.ports.store.read(shop.handle().kept(cleanup.STATUS)))


def forget(shop):
    """The cluster does not know its jobs any more."""
    shutil.rmtree(shop.platform / "cluster")


@pytest.mark.parametrize("policy", ["on_success", "always"])
def test_a_failure_is_kept_whether_the_job_is_cleaned_or_not(shop, policy):
    shop.job(DIES, cleanup=policy)
    shop.run()

    assert (kept(shop)["state"], kept(shop)["exit_code"]) == ("FAILED", 7)
    assert "about to go" in kept(shop)["output"]


def test_it_is_told_when_the_cluster_and_the_log_are_gone(shop):
    shop.job(DIES)
    shop.run()
    forget(shop)
    shop.ports.store.delete_prefix(shop.handle().logs)
    hook = KineticHook()

    with pytest.raises(UserCodeError) as told:
        collect(hook.ports, shop.handle(), hook.status(shop.handle()))

    assert "code 7" in str(told.value)
    assert "| about to go" in str(told.value)


def test_what_a_function_raised_is_raised_again_after_the_clean_up(shop):
    shop.job("def f(): raise ValueError('broken')")
    shop.run()
    hook = KineticHook()
    hook.cleanup(shop.handle(), by="somebody")

    with pytest.raises(UserCodeError) as told:
        collect(hook.ports, shop.handle(), hook.status(shop.handle()))

    assert isinstance(told.value.__cause__, ValueError)


def test_a_success_keeps_no_output_twice(shop):
    shop.job("def f(): print('all is well')")
    shop.run()

    assert (kept(shop)["state"], kept(shop)["output"]) == ("SUCCEEDED", "")


def test_a_job_that_is_cleaned_while_it_runs_was_cancelled_by_whom(shop):
    shop.write(SUBMIT)
    shop.run()
    until(lambda: shop.begun)
    hook = KineticHook()

    hook.cleanup(shop.handle(), by="a teardown")

    status = hook.status(shop.handle())
    assert (status.state, status.reason) == (JobState.NOT_FOUND, Reason.CANCELLED)
    assert status.message == "Cancelled by a teardown; it was running"
    with pytest.raises(JobCancelled):
        collect(hook.ports, shop.handle(), status)


def test_a_later_status_never_hides_how_a_job_ended(shop):
    shop.job(DIES)
    shop.run()
    forget(shop)
    hook = KineticHook()

    hook.cleanup(shop.handle(), by="somebody")

    assert kept(shop)["state"] == "FAILED"
