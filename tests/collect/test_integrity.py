"""What lies in the store is opened only when it is what the job, or the submitter, has written."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace

import pytest
from bombs import bomb
from installation import TaskKey
from project import until
from tasks import run, watch, work

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.lifecycle.collect import collect
from airflow_provider_kinetic.model.errors import (
    ArtifactCorrupt,
    ConfigurationError,
    InfrastructureError,
    ResultGone,
)
from airflow_provider_kinetic.model.status import JobState

GATED = "def f():\n    at_the_gate('{gate}')\n    return 42"
KEY = TaskKey("shop", "job", "run_1")


def finished(shop):
    """A job that is over, with nobody who has collected it yet; the task is deferred."""
    shop.job("def f(): return 42", deferrable=True)
    shop.db.queue(KEY)
    work(shop.load("job"), shop.db, KEY)
    handle = shop.handle()
    until(lambda: shop.ports.cluster.status(handle).state is JobState.SUCCEEDED)
    return handle


@pytest.mark.parametrize("result_format", ["pickle", "json"])
def test_a_result_that_was_replaced_is_not_opened(shop, tmp_path, result_format):
    shop.job(GATED, deferrable=True, result_format=result_format)
    shop.db.queue(KEY)
    work(shop.load("job"), shop.db, KEY)
    handle = shop.handle()
    shop.open_gate()
    until(lambda: shop.ports.cluster.status(handle).state is JobState.SUCCEEDED)
    shop.ports.store.write(handle.artifact(handle.result_name), bomb(tmp_path / "exploded"))
    watch(shop.db, KEY)

    error = run(shop.load("job"), shop.db).error

    assert isinstance(error, ArtifactCorrupt)
    assert "was not opened" in str(error)
    assert not (tmp_path / "exploded").exists()


def test_a_json_result_needs_no_pickle(shop, tmp_path):
    shop.job(GATED, deferrable=True, result_format="json")
    shop.db.queue(KEY)
    work(shop.load("job"), shop.db, KEY)
    handle = shop.handle()
    shop.open_gate()
    until(lambda: shop.ports.cluster.status(handle).state is JobState.SUCCEEDED)
    shop.ports.store.write(handle.artifact(protocol.RESULT), bomb(tmp_path / "exploded"))
    watch(shop.db, KEY)

    assert run(shop.load("job"), shop.db).value == 42
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_a_json_result_that_is_none_is_an_error(shop, content):
    handle = replace(finished(shop), result_format="json")
    shop.ports.store.write(handle.artifact(protocol.RESULT_JSON), content)
    status = replace(shop.ports.cluster.status(handle), objects={})

    with pytest.raises(ArtifactCorrupt, match="is not the result"):
        collect(shop.ports, handle, status)


def test_a_json_result_keeps_what_json_keeps(shop):
    shop.job("def f(): return {'loss': 0.5, 'name': 'é', 'none': None}", result_format="json")

    assert shop.run().value == {"loss": 0.5, "name": "é", "none": None}


def test_a_json_failure_is_told_without_a_pickle(shop):
    calls = shop.count_calls()
    shop.job("def f(): raise ValueError('broken')", result_format="json")

    error = shop.run().error

    assert "f() raised ValueError: broken" in str(error)
    assert "in f" in error.remote_traceback
    assert "download result.pkl" not in calls


def test_a_payload_that_was_changed_while_the_job_waited_is_not_opened(shop, tmp_path):
    shop.connect(max_parallel=1)
    shop.write("""
def wait(): at_the_gate('{gate}')
def f(): return 42

with DAG("shop", schedule=None) as dag:
    KineticSubmitOperator(task_id="first", python_callable=wait, **LOCAL)
    KineticRunOperator(task_id="job", python_callable=f, deferrable=True, **LOCAL)
""")
    shop.run("first")
    until(lambda: shop.begun)
    shop.db.queue(KEY)
    work(shop.load("job"), shop.db, KEY)
    shop.ports.store.write(shop.handle().artifact(protocol.PAYLOAD), bomb(tmp_path / "exploded"))
    shop.open_gate()
    watch(shop.db, KEY)

    error = run(shop.load("job"), shop.db).error

    assert isinstance(error, InfrastructureError)
    assert "artifact verification" in str(error)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(("trust", "opened"), [(None, False), (False, False), (True, True)])
def test_a_result_of_a_cluster_that_nobody_has_a_digest_of_is_opened_only_on_request(shop, trust, opened):
    handle = finished(shop)
    status = replace(shop.ports.cluster.status(handle), objects={})
    elsewhere = replace(handle, platform="gke")

    if opened:
        assert collect(shop.ports, elsewhere, status, trust_bucket=trust) == 42
    else:
        with pytest.raises(ArtifactCorrupt, match="Nobody knows the digest"):
            collect(shop.ports, elsewhere, status, trust_bucket=trust)


def test_a_job_that_died_without_a_result_is_diagnosed_not_distrusted(shop):
    handle = finished(shop)
    shop.ports.store.delete(handle.artifact(protocol.RESULT))
    status = replace(shop.ports.cluster.status(handle), state=JobState.FAILED, objects={}, message="out of memory")

    with pytest.raises(InfrastructureError, match="out of memory") as told:
        collect(shop.ports, replace(handle, platform="gke"), status)

    assert not isinstance(told.value, ArtifactCorrupt)


def test_the_bomb_of_these_tests_explodes(tmp_path):
    pickle.loads(bomb(tmp_path / "exploded")).close()

    assert (tmp_path / "exploded").exists()


def forget(shop):
    """The cluster knows nothing of its jobs any more, and so not what they have reported."""
    shutil.rmtree(shop.platform / "cluster")


def unchecked(result):
    return [line for line in result.log if "was opened unchecked" in line]


def test_a_retry_still_knows_what_the_job_had_reported(shop, tmp_path):
    shop.job("def f(): return 42", cleanup="never")
    first = shop.run()
    forget(shop)

    again = shop.again(first)
    assert (again.value, unchecked(again)) == (42, [])

    shop.ports.store.write(shop.handle().artifact(protocol.RESULT), bomb(tmp_path / "exploded"))
    error = shop.again(again).error
    assert isinstance(error, ArtifactCorrupt)
    assert not (tmp_path / "exploded").exists()


STEPS = """
def f(): return 42

with DAG("shop", schedule=None) as dag:
    submit = KineticSubmitOperator(task_id="submit", python_callable=f, **LOCAL)
    job = submit.output["kinetic_job"]
    wait = KineticJobSensor(task_id="wait", job=job)
    KineticCollectOperator(task_id="knowing", job=job, status=wait.output)
    KineticCollectOperator(task_id="unknowing", job=job)
    KineticCollectOperator(task_id="confused", job=job, status=job)
"""


def test_a_collecting_task_takes_the_digest_from_the_sensor(shop, tmp_path):
    shop.write(STEPS)
    assert {shop.run(name).state for name in ("submit", "wait")} == {"success"}
    forget(shop)

    knowing, unknowing = (shop.run(name) for name in ("knowing", "unknowing"))
    assert (knowing.value, unknowing.value) == (42, 42)
    assert (len(unchecked(knowing)), len(unchecked(unknowing))) == (0, 1)

    shop.ports.store.write(shop.handle("submit").artifact(protocol.RESULT), bomb(tmp_path / "exploded"))
    assert isinstance(shop.again(knowing).error, ArtifactCorrupt)
    assert not (tmp_path / "exploded").exists()


def test_a_status_that_is_none_is_an_error(shop):
    shop.write(STEPS)
    shop.run("submit")

    error = shop.run("confused").error

    assert isinstance(error, ConfigurationError)
    assert "KineticJobSensor" in error.advice


@pytest.mark.parametrize("change", [{"platform": None}, {"platform": "gke"}, {"job_id": "job-of-somebody-else"}])
def test_a_handle_that_was_replaced_makes_no_job_trusted(shop, change):
    shop.job("def f(): return 42", cleanup="never")
    first = shop.run()
    for uri in (shop.handle().artifact(protocol.HANDLE), shop.handle().kept(protocol.HANDLE)):
        shop.ports.store.write(uri, replace(shop.handle(), **change).to_json())

    error = shop.again(first).error

    assert isinstance(error, ArtifactCorrupt)
    assert "handle.json" in str(error)


def test_digests_that_lie_in_a_bucket_count_for_nothing(shop):
    handle = finished(shop)
    cleanup.clean(shop.ports, handle, by="test")

    assert cleanup.kept_status(shop.ports.store, handle).objects[protocol.RESULT]["sha256"]
    elsewhere = cleanup.kept_status(shop.ports.store, replace(handle, platform="gke"))
    assert (elsewhere.state, elsewhere.objects) == (JobState.SUCCEEDED, {})


# A result that somebody took.


def test_a_job_of_upstreams_client_that_was_collected_is_told_so(shop):
    handle = replace(finished(shop), platform=None, output_dir=None)
    cleanup.clean(shop.ports, handle, by="upstream's client")

    with pytest.raises(ResultGone, match="already collected or deleted") as told:
        collect(shop.ports, handle, shop.ports.cluster.status(handle))

    assert "`result()`" in told.value.advice


def test_a_result_of_ours_is_there_for_a_second_collector(shop):
    handle = finished(shop)
    cleanup.clean(shop.ports, handle, by="a first collector")

    assert collect(shop.ports, handle, cleanup.kept_status(shop.ports.store, handle)) == 42


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_result_that_was_deleted_before_it_was_collected(shop, forgotten):
    handle = finished(shop)
    shop.ports.store.delete(handle.artifact(protocol.RESULT))
    if forgotten:
        forget(shop)

    with pytest.raises(ResultGone, match="has ended well"):
        collect(shop.ports, handle, shop.ports.cluster.status(handle))
