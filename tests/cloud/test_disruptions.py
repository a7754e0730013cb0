"""Machines are taken away, run full or disappear: the job goes on where it may, else the message says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_shop import PATIENCE, CloudShop
from project import until

from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.model.errors import (
    InfrastructureError,
    JobOutOfMemory,
    JobPreempted,
    JobVanished,
)

pytestmark = pytest.mark.faults

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
RESUMES = """
def f():
    # remembers in the output directory how far it came
    from airflow_provider_kinetic.job.storage import ObjectMissing, open_storage

    place = os.environ["KINETIC_OUTPUT_DIR"] + "/progress"
    storage = open_storage(place)
    try:
        done = int(storage.read(place))
    except ObjectMissing:
        done = 0
    storage.write(place, str(done + 1).encode())
    note("{gate}")
    if done < {until}:
        time.sleep(600)
    return done
"""
FOREVER = "def f():\n    note('{gate}')\n    print('about to begin', flush=True)\n    time.sleep(600)"


def disrupt(shop: CloudShop, how: str, pod: Any) -> None:
    kube = shop.cloud.kube
    if how == "delete_pod":
        kube.registry.delete(kube.resource("pods"), shop.namespace, pod["metadata"]["name"], {})
        return
    getattr(kube, how)(pod)
    if how == "lose_node":
        kube.remove_lost(pod)


def ended(result: Any, kind: type[BaseException], *words: str) -> None:
    """The task failed with this error, whose text has these words, an advice among them."""
    assert isinstance(result.error, kind), (result.error, result.log[-20:])
    text = str(result.error)
    assert not [word for word in words if word not in text], text
    assert result.error.advice


@modes
@pytest.mark.parametrize("how", ["preempt", "shut_down_node", "evict", "lose_node"])
def test_a_job_goes_on_elsewhere_without_a_retry(shop: CloudShop, deferrable: bool, how: str) -> None:
    shop.job(RESUMES.replace("{until}", "1"), deferrable=deferrable, spot=True)
    with shop.meanwhile(lambda: disrupt(shop, how, shop.running())):
        result = shop.run()
    assert (result.state, result.value) == ("success", 1), result.log
    assert shop.db.rows[result.key].try_number == 1
    assert len(set(shop.calls)) == 1
    assert len(shop.calls) == 2
    attempts = trial.attempts(shop.ports.store, result.xcoms["output_dir"])
    assert [attempt.number for attempt in attempts] == [1, 2]
    if how != "lose_node":  # its pod is removed, and is missed by nobody when the next one is made in the same second
        assert any("preempted 1" in line for line in result.log), result.log


@modes
def test_a_job_that_is_preempted_too_often_says_so(shop: CloudShop, deferrable: bool) -> None:
    shop.job(RESUMES.replace("{until}", "99"), deferrable=deferrable, max_preemptions=1)

    def preempt() -> None:
        for attempt in (1, 2):
            disrupt(shop, "preempt", shop.running(attempt))

    with shop.meanwhile(preempt):
        result = shop.run()
    ended(result, JobPreempted, "max_preemptions=1")
    assert "max_preemptions" in result.error.advice
    assert len(shop.calls) == 2


@modes
def test_a_job_that_needs_too_much_memory_says_so(shop: CloudShop, deferrable: bool) -> None:
    shop.job(FOREVER, deferrable=deferrable)
    with shop.meanwhile(lambda: shop.cloud.kube.oom_kill(shop.running())):
        result = shop.run()
    ended(result, JobOutOfMemory, "out of memory", "about to begin")
    assert len(shop.calls) == 1


@modes
def test_a_pod_that_somebody_deletes_fails_the_job_and_is_diagnosed(shop: CloudShop, deferrable: bool) -> None:
    shop.job(RESUMES.replace("{until}", "1"), deferrable=deferrable)
    with shop.meanwhile(lambda: disrupt(shop, "delete_pod", shop.running())):
        result = shop.run()
    ended(result, InfrastructureError)
    assert len(shop.calls) == 1


@modes
def test_a_job_that_somebody_deleted_has_vanished(shop: CloudShop, deferrable: bool) -> None:
    shop.job(FOREVER, deferrable=deferrable)

    def delete() -> None:
        pod, kube = shop.running(), shop.cloud.kube
        name = pod["metadata"]["labels"]["job-name"]
        kube.registry.delete(kube.resource("jobs"), shop.namespace, name, {"propagationPolicy": "Foreground"})

    with shop.meanwhile(delete):
        result = shop.run()
    ended(result, JobVanished, "no Job of that name", "about to begin")
    assert "retries" in result.error.advice
    until(lambda: not shop.pods, PATIENCE)
    assert len(shop.calls) == 1


@modes
def test_a_retry_of_a_vanished_job_runs_it_once_more_and_resumes(shop: CloudShop, deferrable: bool) -> None:
    shop.job(RESUMES.replace("{until}", "1"), deferrable=deferrable, retries=1)

    def delete() -> None:
        pod, kube = shop.running(), shop.cloud.kube
        name = pod["metadata"]["labels"]["job-name"]
        kube.registry.delete(kube.resource("jobs"), shop.namespace, name, {"propagationPolicy": "Foreground"})

    with shop.meanwhile(delete):
        first = shop.run()
    assert first.state == "up_for_retry", first.log
    second = shop.again(first)
    assert (second.state, second.value) == ("success", 1), second.log
    assert len(set(shop.calls)) == len(shop.calls) == 2


def test_the_diagnosis_is_saved_before_anything_is_deleted(shop: CloudShop) -> None:
    shop.job(FOREVER, cleanup="always")
    with shop.meanwhile(lambda: shop.cloud.kube.oom_kill(shop.running())):
        result = shop.run()
    ended(result, JobOutOfMemory)
    until(lambda: not shop.jobs)
    status = shop.ports.store.read(str(shop.handle().kept("status.json"))).decode()
    assert "OutOfMemory" in status
    assert "out of memory" in status


def test_a_job_that_may_not_be_started_again_says_who_took_its_machine(shop: CloudShop) -> None:
    shop.job(FOREVER, max_preemptions=0)
    with shop.meanwhile(lambda: disrupt(shop, "evict", shop.running())):
        result = shop.run()
    ended(result, JobPreempted, "max_preemptions=0")
