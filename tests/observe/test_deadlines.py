"""``startup_timeout``, ``run_timeout`` and ``execution_timeout`` end a job that waits or hangs, in both modes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from project import until

from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.model.errors import JobTimeout
from airflow_provider_kinetic.model.status import JobState, Reason

GATED = "def f(): at_the_gate('{gate}')"

ENOUGH = 4.0
"""Seconds in which also a busy machine submits a job."""

pytestmark = pytest.mark.faults
modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])


def cancelled(shop, handle):
    until(lambda: shop.ports.cluster.status(handle).state is JobState.NOT_FOUND)
    return True


@modes
def test_execution_timeout(shop, deferrable):
    shop.job(GATED, deferrable=deferrable, execution_timeout=timedelta(seconds=ENOUGH))

    error = shop.run().error

    assert isinstance(error, JobTimeout | AirflowTaskTimeout)
    assert cancelled(shop, shop.handle())


@modes
def test_run_timeout(shop, deferrable):
    shop.job(GATED, deferrable=deferrable, run_timeout=0.5)

    error = shop.run().error

    assert isinstance(error, JobTimeout)
    assert "run_timeout of 0.5 s passed" in str(error)
    assert "was cancelled" in str(error)
    assert cancelled(shop, shop.handle())


class Queueing:
    """A cluster whose jobs stand in the queue as soon as they are made, however slowly this machine gets them there."""

    def __init__(self, cluster):
        self._cluster = cluster

    def __getattr__(self, name):
        return getattr(self._cluster, name)

    def create(self, manifest, **more):
        self._cluster.create(manifest, **more)
        until(lambda: any(job.name == manifest.name and job.status.reason is Reason.QUEUED for job in self.list()))


@modes
def test_startup_timeout_of_a_job_that_only_waits(shop, deferrable):
    shop.connect(max_parallel=1)
    shop.write(f"""
def g(): at_the_gate("{{gate}}")
def f(): pass

with DAG("shop", schedule=None) as dag:
    KineticSubmitOperator(task_id="first", python_callable=g, **LOCAL)
    KineticRunOperator(task_id="job", python_callable=f, startup_timeout=0.5, deferrable={deferrable}, **LOCAL)
""")
    shop.run("first")
    until(lambda: shop.begun)
    shop.refit(lambda ports: replace(ports, cluster=Queueing(ports.cluster)))

    result = shop.run()

    assert isinstance(result.error, JobTimeout)
    assert "startup_timeout of 0.5 s passed" in str(result.error)
    assert "It waited: waiting for one of 1 slot" in str(result.error)
    kept = cleanup.kept_status(shop.ports.store, shop.handle())
    assert (kept.state, kept.reason) == (JobState.FAILED, Reason.DEADLINE)
    assert "waiting for one of 1 slot" in kept.message
    assert "waiting for one of 1 slot" in "\n".join(result.log)
    assert cancelled(shop, shop.handle())


@pytest.mark.parametrize("answered", [0, 1])
def test_a_worker_that_airflow_interrupts_takes_its_job_along(shop, answered):
    """A look, the first or a later one, that takes longer than there is time: only Airflow's own alarm can end it."""

    class Slow:
        def __init__(self, cluster):
            self.cluster, self.looks = cluster, 0

        def __getattr__(self, name):
            return getattr(self.cluster, name)

        def status(self, handle):
            self.looks += 1
            if self.looks > answered:
                time.sleep(60)
            return self.cluster.status(handle)

    shop.refit(lambda ports: replace(ports, cluster=Slow(ports.cluster)))
    shop.job(GATED, execution_timeout=timedelta(seconds=ENOUGH))

    error = shop.run().error

    assert isinstance(error, AirflowTaskTimeout)
    assert cancelled(shop, shop.handle())


@modes
def test_a_sensor_whose_time_is_up_leaves_the_job(shop, deferrable):
    shop.write(f"""
def f(): at_the_gate("{{gate}}")

with DAG("shop", schedule=None) as dag:
    job = KineticSubmitOperator(task_id="submit", python_callable=f, **LOCAL).output
    timeout = datetime.timedelta(seconds=1)
    KineticJobSensor(task_id="wait", job=job, deferrable={deferrable}, execution_timeout=timeout)
""")
    shop.run("submit")

    error = shop.run("wait").error

    assert isinstance(error, JobTimeout | AirflowTaskTimeout)
    if isinstance(error, JobTimeout):
        assert "goes on" in str(error)
    status = shop.ports.cluster.status(shop.handle("submit"))
    assert (status.state, status.stopping) == (JobState.RUNNING, False)
