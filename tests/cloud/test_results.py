"""What comes back is what the job wrote, whatever happened to the Job or to the bucket meanwhile."""

from __future__ import annotations

import pickle

import pytest
import tasks
from cloud_shop import PATIENCE, CloudShop
from installation import TaskKey
from project import until

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import ArtifactCorrupt, KineticError, UserCodeError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState

KEY = TaskKey("shop", "job", "run_1")
QUICK = "def f():\n    note('{gate}')\n    return {'loss': 0.5}"
STEPS = """
def f():
    note("{gate}")
    return {'loss': 0.5}

with DAG("shop", schedule=None) as dag:
    submit = KineticSubmitOperator(task_id="submit", python_callable=f, **JOB)
    job = submit.output["kinetic_job"]
    waited = KineticJobSensor(task_id="wait", job=job, deferrable=True)
    KineticCollectOperator(task_id="collect", job=job, status=waited.output)
    KineticCollectOperator(task_id="collect_unknowing", job=job)
    KineticCleanupOperator(task_id="clean", job=job)
"""


class Exploit:
    """Opened, it leaves a trace."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self.trace, "w"))


def over(shop: CloudShop) -> JobHandle:
    """A deferred task whose job is over, and nobody has looked at it since."""
    shop.job(QUICK, deferrable=True, retries=1)
    shop.db.queue(KEY, max_tries=1)
    outcome = tasks.work(shop.load("job"), shop.db, KEY)
    if shop.db.rows[KEY].state != "deferred":
        pytest.fail(f"{outcome.error}")
    handle = shop.handle()
    until(lambda: KineticHook.of(handle).ports.cluster.status(handle).state is JobState.SUCCEEDED, PATIENCE)
    return handle


def expire(shop: CloudShop, handle: JobHandle) -> None:
    """The Job's TTL has ended."""
    kube = shop.cloud.kube
    kube.registry.delete(kube.resource("jobs"), handle.namespace, handle.k8s_name, {"propagationPolicy": "Foreground"})
    until(lambda: not shop.jobs and not shop.pods)


def result_of(shop: CloudShop, handle: JobHandle) -> bytes:
    return shop.ports.store.read(handle.artifact("result.pkl"))


def test_a_job_that_expired_between_its_end_and_the_worker_is_collected(shop: CloudShop) -> None:
    handle = over(shop)
    tasks.watch(shop.db, KEY)
    expire(shop, handle)
    result = shop.run()
    assert (result.state, result.value) == ("success", {"loss": 0.5}), result.log
    assert len(shop.calls) == 1


def test_a_retry_collects_a_job_that_expired_if_the_bucket_is_trusted(shop: CloudShop) -> None:
    handle = over(shop)
    expire(shop, handle)
    shop.db.retry(KEY)
    shop.job(QUICK, retries=1, trust_bucket=True)
    result = shop.run()
    assert (result.state, result.value) == ("success", {"loss": 0.5}), result.log
    assert shop.calls == [handle.job_id]


def test_without_a_digest_an_expired_job_is_not_opened_and_not_run_again(shop: CloudShop) -> None:
    handle = over(shop)
    expire(shop, handle)
    shop.db.retry(KEY)
    result = shop.run()
    assert isinstance(result.error, ArtifactCorrupt), result.log
    assert "trust_bucket" in result.error.advice
    assert shop.calls == [handle.job_id]


def test_a_failure_without_a_digest_is_told_and_not_opened(shop: CloudShop) -> None:
    shop.job("def f():\n    raise ValueError('broken')")
    shop.run()
    hook, handle = KineticHook(), shop.handle()
    hook.cleanup(handle, by="a test")
    with pytest.raises(UserCodeError, match="exited with code 1") as told:
        hook.result(handle)
    assert "ValueError: broken" in str(told.value), "its last output is kept"
    assert "trust_bucket" in told.value.advice
    with pytest.raises(UserCodeError) as opened:
        hook.result(handle, trust_bucket=True)
    assert isinstance(opened.value.__cause__, ValueError)


def test_a_second_collector_gets_the_value_again_or_is_told_who_deleted_it(shop: CloudShop) -> None:
    shop.write(STEPS)
    assert shop.run("submit").state == "success"
    assert shop.run("wait").value["state"] == "SUCCEEDED"
    assert shop.run("collect").value == {"loss": 0.5}
    assert shop.run("clean").state == "success"
    shop.db.rows.pop(_key("collect"))
    again = shop.run("collect")
    assert again.value == {"loss": 0.5}, again.log
    unknowing = shop.run("collect_unknowing")
    assert isinstance(unknowing.error, ArtifactCorrupt), unknowing.log
    assert "status=" in unknowing.error.advice
    handle = shop.handle("submit")
    shop.ports.store.delete_prefix(f"{handle.output_dir}/")
    shop.db.rows.pop(_key("collect"))
    gone = shop.run("collect")
    assert isinstance(gone.error, KineticError), gone.log
    assert "deleted" in str(gone.error) or "does not exist" in str(gone.error), gone.error
    assert gone.error.advice
    assert len(shop.calls) == 1


def _key(task_id: str) -> TaskKey:
    return TaskKey("shop", task_id, "run_1")


@pytest.mark.parametrize("how", ["replaced", "truncated"])
def test_a_result_that_is_another_one_is_not_opened(shop: CloudShop, how: str) -> None:
    handle = over(shop)
    event = tasks.watch(shop.db, KEY)
    assert event["status"]["state"] == "SUCCEEDED"
    trace = shop.folder / "trace"
    forged = pickle.dumps({"success": True, "result": Exploit(str(trace))})
    content = forged if how == "replaced" else result_of(shop, handle)[:-3]
    shop.ports.store.write(handle.artifact("result.pkl"), content)
    result = shop.run()
    assert isinstance(result.error, ArtifactCorrupt), result.log
    assert "somebody replaced it" in str(result.error)
    assert result.error.advice
    assert not trace.exists()
    assert len(shop.calls) == 1


def test_a_result_that_is_missing_is_named(shop: CloudShop) -> None:
    handle = over(shop)
    tasks.watch(shop.db, KEY)
    for uri in (handle.artifact("result.pkl"), str(handle.kept("result.pkl"))):
        shop.ports.store.delete(uri)
    result = shop.run()
    assert isinstance(result.error, KineticError), result.log
    assert "its result is not in the store" in str(result.error)
    assert result.error.advice
    assert len(shop.calls) == 1
