"""Tasks whose jobs run on a cluster: everything that they can do on this machine, they do there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from dataclasses import replace
from typing import Any

import pytest
import tasks
from cloud_shop import PATIENCE, CloudShop
from execution_api import ExecutionApi
from installation import TaskKey
from project import until

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.hooks.late import late
from airflow_provider_kinetic.model.errors import JobCancelled, UserCodeError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState

KEY = TaskKey("shop", "job", "run_1")
GATED = "def f():\n    note('{gate}')\n    at_the_gate('{gate}')\n    return 42"
ALONE = """
def f():
    # who runs, and who of the earlier runs still does
    notes = Path("{gate}", "pids")
    earlier = notes.read_text().split() if notes.exists() else []
    with notes.open("a") as out:
        print(os.getpid(), file=out)
    alive = [pid for pid in earlier if Path("/proc", pid).exists()]
    note('{gate}')
    at_the_gate('{gate}')
    return alive
"""
modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])


def defer(shop: CloudShop, function: str = GATED, **options: object) -> JobHandle:
    """A task whose first leg has submitted; its job waits at the gate and nobody looks after it."""
    shop.job(function, deferrable=True, **{"retries": 1, **options})
    shop.db.queue(KEY, max_tries=1)
    outcome = tasks.work(shop.load("job"), shop.db, KEY)
    assert shop.db.rows[KEY].state == "deferred", outcome.error
    shop.running()
    return shop.handle()


def state(handle: JobHandle) -> JobState:
    return KineticHook.of(handle).ports.cluster.status(handle).state


@modes
def test_a_function_runs_once_and_its_value_comes_back(shop: CloudShop, deferrable: bool) -> None:
    shop.job("def f():\n    note('{gate}')\n    print('hello')\n    return {'loss': 0.5}", deferrable=deferrable)
    result = shop.run()
    assert (result.state, result.value) == ("success", {"loss": 0.5}), result.log
    assert shop.calls == [result.xcoms["job_id"]]
    assert "hello" in result.log
    assert result.xcoms["output_dir"].startswith("gs://")
    assert len(result.deferrals) == deferrable
    until(lambda: not shop.jobs)
    assert shop.artifacts == []
    assert shop.ports.store.stat(result.xcoms["result_uri"]) is not None
    assert shop.cloud.gcs.unknown == []


@modes
def test_the_user_s_exception_comes_back_with_the_traceback_of_the_job(shop: CloudShop, deferrable: bool) -> None:
    shop.job("def f():\n    note('{gate}')\n    raise ValueError('no such data set')", deferrable=deferrable)
    result = shop.run()
    assert result.state == "failed"
    assert isinstance(result.error, UserCodeError)
    assert isinstance(result.error.__cause__, ValueError)
    assert "no such data set" in str(result.error)
    assert any("in f" in line and "Traceback" in line for line in result.log)
    assert len(shop.calls) == 1


@modes
def test_a_retry_follows_the_job_of_the_lost_worker(shop: CloudShop, deferrable: bool) -> None:
    handle = defer(shop)
    shop.db.retry(KEY)
    shop.job(GATED, deferrable=deferrable, retries=1)
    with shop.meanwhile(shop.open_gate):
        result = shop.run()
    assert (result.state, result.value) == ("success", 42), result.log
    assert shop.calls == [handle.job_id]


@modes
def test_a_retry_collects_what_ended_while_nobody_looked(shop: CloudShop, deferrable: bool) -> None:
    handle = defer(shop)
    shop.open_gate()
    until(lambda: state(handle) is JobState.SUCCEEDED, PATIENCE)
    shop.db.retry(KEY)
    shop.job(GATED, deferrable=deferrable, retries=1)
    result = shop.run()
    assert (result.state, result.value) == ("success", 42), result.log
    assert shop.calls == [handle.job_id]


@modes
def test_a_cleared_task_runs_anew_when_the_old_machine_has_ended(shop: CloudShop, deferrable: bool) -> None:
    handle = defer(shop, ALONE)
    shop.db.clear(KEY, retries=1)
    shop.job(ALONE, deferrable=deferrable, retries=1)
    with shop.meanwhile(lambda: (shop.running(2), shop.open_gate())):
        result = shop.run()
    assert (result.state, result.value) == ("success", []), result.log
    assert shop.calls == [handle.job_id, result.xcoms["job_id"]]
    assert len(set(shop.calls)) == 2
    assert any("cancelling it" in line for line in result.log)


@pytest.mark.parametrize("policy", ["Background", "Orphan"])
def test_a_job_deleted_by_hand_is_run_anew_when_its_machine_has_ended(shop: CloudShop, policy: str) -> None:
    """What `kubectl delete job` and `--cascade=orphan` do: the object goes first, and the pod may stay."""
    handle = defer(shop, ALONE)
    kube = shop.cloud.kube
    kube.registry.delete(kube.resource("jobs"), shop.namespace, handle.k8s_name, {"propagationPolicy": policy})
    until(lambda: state(handle) is JobState.NOT_FOUND)
    shop.db.retry(KEY)
    shop.job(ALONE, deferrable=False, retries=1)
    with shop.meanwhile(lambda: (until(lambda: len(shop.calls) > 1, PATIENCE), shop.open_gate())):
        result = shop.run()
    assert (result.state, result.value) == ("success", []), result.log
    assert len(set(shop.calls)) == 2


def test_a_task_that_is_killed_while_its_cluster_is_opened_takes_its_job_along(shop: CloudShop) -> None:
    """Whoever opens a cluster holds a lock, and the handler of the signal runs in the same thread."""
    opening = threading.Lock()
    killed: list[bool] = []

    def cluster(real: Any) -> Any:
        assert opening.acquire(timeout=5), "the handler waits for what it has interrupted"
        try:
            if shop.jobs and not killed:
                killed.append(True)
                shop.db.rows[KEY].state = "failed"
                os.kill(os.getpid(), signal.SIGTERM)
            return real
        finally:
            opening.release()

    shop.refit(lambda ports: replace(ports, cluster=late(lambda: cluster(ports.cluster))))
    shop.job(GATED, deferrable=False)
    result = shop.run()
    assert result.state == "failed"
    assert killed
    assert any("cancelled" in line for line in result.log), result.log
    until(lambda: not shop.jobs and not shop.pods, PATIENCE)


def test_a_task_that_is_killed_while_it_waits_takes_its_job_along(shop: CloudShop) -> None:
    shop.job(GATED, deferrable=False)

    def kill() -> None:
        shop.running()
        shop.db.rows[KEY].state = "failed"  # a user's action, on which Airflow ends the worker
        os.kill(os.getpid(), signal.SIGTERM)

    with shop.meanwhile(kill):
        result = shop.run()
    assert result.state == "failed"
    assert any("cancelled" in line for line in result.log), result.log
    cancelled(shop, shop.handle())


@pytest.mark.parametrize("action", ["failed", "success", "clear"])
def test_a_deferred_task_that_is_taken_away_takes_its_job_along(shop: CloudShop, action: str) -> None:
    handle = defer(shop)

    def act() -> None:
        if shop.db.rows[KEY].state == "deferred":
            shop.db.clear(KEY) if action == "clear" else shop.db.mark(KEY, action)

    assert tasks.watch(shop.db, KEY, meanwhile=act) is None
    cancelled(shop, handle)


def cancelled(shop: CloudShop, handle: JobHandle) -> None:
    until(lambda: not shop.jobs and not shop.pods, PATIENCE)
    assert handle.job_id in shop.artifacts
    assert handle.artifact("cancelled.json").removeprefix("gs://kinetic-tests/") in shop.cloud.objects()
    hook = KineticHook.of(handle)
    assert hook.cancel(handle, by="a second one", wait=5)
    assert state(handle) is JobState.NOT_FOUND
    assert shop.calls == [handle.job_id]


def test_a_triggerer_that_shuts_down_leaves_the_job_alone(shop: CloudShop) -> None:
    handle = defer(shop)

    def end() -> None:
        raise tasks.Shutdown

    assert tasks.watch(shop.db, KEY, meanwhile=end) is None
    assert state(handle) is JobState.RUNNING
    shop.open_gate()
    result = shop.run() if shop.db.rows[KEY].trigger is None else watched(shop)
    assert result == {"state": "SUCCEEDED"}


def watched(shop: CloudShop) -> dict[str, str]:
    """The next triggerer's word."""
    return {"state": tasks.watch(shop.db, KEY)["status"]["state"]}


def test_a_trigger_that_lost_its_task_to_another_one_kills_nothing(shop: CloudShop) -> None:
    handle = defer(shop)
    with tasks.triggerer(ExecutionApi(shop.db), shop.db, KEY) as trigger:
        asyncio.run(trigger.on_kill())
    assert state(handle) is JobState.RUNNING


STEPS = """
def f():
    note("{gate}")
    at_the_gate("{gate}")
    return {'loss': 0.5}

with DAG("shop", schedule=None) as dag:
    submit = KineticSubmitOperator(task_id="submit", python_callable=f, **JOB)
    job = submit.output["kinetic_job"]
    waited = KineticJobSensor(task_id="wait", job=job, deferrable={deferrable})
    KineticCollectOperator(task_id="collect", job=job, status=waited.output)
    KineticCleanupOperator(task_id="clean", job=job)
"""


@modes
def test_the_steps_as_tasks_of_their_own(shop: CloudShop, deferrable: bool) -> None:
    shop.write(STEPS.replace("{deferrable}", str(deferrable)))
    submitted = shop.run("submit")
    assert submitted.state == "success", submitted.error
    handle = shop.handle("submit")
    shop.open_gate()
    waited = shop.run("wait")
    assert waited.value["state"] == "SUCCEEDED", waited.log
    for _ in range(2):
        collected = shop.run("collect")
        assert collected.value == {"loss": 0.5}, collected.log
        shop.db.rows.pop(collected.key)
    assert shop.run("clean").state == "success"
    until(lambda: not shop.jobs)
    assert (shop.artifacts, shop.calls) == ([], [handle.job_id])
    again = shop.run("collect")
    assert again.value == {"loss": 0.5}, again.log


def test_a_teardown_cancels_what_still_runs(shop: CloudShop) -> None:
    shop.write(STEPS.replace("{deferrable}", "False"))
    assert shop.run("submit").state == "success"
    shop.running()
    assert shop.run("clean").state == "success"
    until(lambda: not shop.jobs and not shop.pods)
    assert shop.artifacts == []
    collected = shop.run("collect")
    assert isinstance(collected.error, JobCancelled)


@modes
def test_secrets_reach_the_job_and_stand_nowhere_else(shop: CloudShop, deferrable: bool) -> None:
    value = "hunter2-hunter2-hunter2"
    shop.db.variables["token"] = value
    function = "def f():\n    note('{gate}')\n    at_the_gate('{gate}')\n    return len(os.environ['HF_TOKEN'])"
    options = {"secrets": {"HF_TOKEN": "{{ var.value.token }}"}, "env_vars": {"MY_PASSWORD": value}}
    shop.job(function, deferrable=deferrable, cleanup="never", **options)
    seen: list[str] = []

    def look() -> None:
        shop.running()
        kube = shop.cloud.kube
        seen.extend(
            json.dumps(kube.store.list(kube.resource(kind), "default")[0]) for kind in ("jobs", "pods", "events")
        )
        secrets = kube.store.list(kube.resource("secrets"), "default")[0]
        assert [each["metadata"]["ownerReferences"][0]["kind"] for each in secrets] == ["Job"]
        shop.open_gate()

    with shop.meanwhile(look):
        result = shop.run()
    assert result.value == len(value), result.log
    bucket = shop.cloud.gcs.buckets["kinetic-tests"]
    stored = b"".join(shop.ports.store.read(f"gs://kinetic-tests/{name}") for name in bucket.names())
    assert value.encode() not in stored
    assert not [
        text for text in (*seen, *result.log, json.dumps(result.xcoms), repr(result.deferrals)) if value in text
    ]
    KineticHook.of(shop.handle()).cleanup(shop.handle(), by="test")
    kube = shop.cloud.kube
    until(lambda: not kube.store.list(kube.resource("secrets"), "default")[0])
