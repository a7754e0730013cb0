"""API server and object store fail in every way: nothing is lost, nothing runs twice, the message says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tasks
from cloud_shop import PATIENCE, CloudShop
from installation import TaskKey
from kube import Rule
from kube.resources import JOBS
from project import until

from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.model.errors import ClusterError, JobConflict, JobTimeout, KineticError, StoreError

pytestmark = pytest.mark.faults

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
QUICK = "def f():\n    note('{gate}')\n    return 42"
GATED = "def f():\n    note('{gate}')\n    at_the_gate('{gate}')\n    return 42"


def ran_once(shop: CloudShop, result: object) -> None:
    assert (result.state, result.value) == ("success", 42), result.log  # type: ignore[attr-defined]
    assert len(shop.calls) == 1


@modes
@pytest.mark.parametrize("when", ["before", "after", "during"])
def test_a_connection_that_breaks_while_the_job_is_created(shop: CloudShop, when: str, deferrable: bool) -> None:
    shop.cloud.kube.fail(verb="create", resource="jobs", drop=when)
    shop.job(QUICK, deferrable=deferrable)
    ran_once(shop, shop.run())


@modes
def test_a_retry_adopts_the_job_whose_creation_nobody_heard_of(shop: CloudShop, deferrable: bool) -> None:
    """The server made it, and was away afterwards for longer than anybody asks again."""
    shop.job(QUICK, deferrable=deferrable, retries=1)
    refused = shop.cloud.kube.fail(verb="create", resource="jobs", status=403, message="no rights")
    first = shop.run()
    assert first.state == "up_for_retry", first.log
    assert refused.times == 0
    second = shop.again(first)
    ran_once(shop, second)


@modes
@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_of_the_api_server_that_pass(shop: CloudShop, status: int, deferrable: bool) -> None:
    for verb in ("create", "get", "list", "watch", "delete"):
        shop.cloud.kube.fail(verb=verb, resource="jobs", status=status, retry_after=1 if status == 429 else None)
    shop.job(QUICK, deferrable=deferrable)
    ran_once(shop, shop.run())


@modes
def test_an_api_server_that_is_away_for_a_while(shop: CloudShop, deferrable: bool) -> None:
    shop.job(GATED, deferrable=deferrable)

    def outage() -> None:
        shop.running()
        shop.cloud.kube.away(3)
        shop.open_gate()

    with shop.meanwhile(outage):
        ran_once(shop, shop.run())


@modes
def test_connections_that_are_reset_while_the_job_is_watched(shop: CloudShop, deferrable: bool) -> None:
    shop.job(GATED, deferrable=deferrable)

    def reset() -> None:
        shop.running()
        shop.cloud.kube.expire()
        shop.cloud.kube.cut()
        shop.open_gate()

    with shop.meanwhile(reset):
        ran_once(shop, shop.run())


@modes
@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_of_the_object_store_that_pass(shop: CloudShop, status: int, deferrable: bool) -> None:
    for kind in ("insert", "session", "download", "list", "stat", "rewrite", "delete"):
        shop.cloud.gcs.fail(kind, status=status)
    shop.job(QUICK, deferrable=deferrable)
    ran_once(shop, shop.run())


@modes
def test_answers_of_the_object_store_that_are_lost(shop: CloudShop, deferrable: bool) -> None:
    for kind in ("insert", "rewrite", "delete"):
        shop.cloud.gcs.lose_reply(kind, times=2)
    shop.job(QUICK, deferrable=deferrable)
    ran_once(shop, shop.run())


def test_a_store_that_does_not_answer_keeps_no_job_alive(shop: CloudShop) -> None:
    """A worker that is killed has five seconds, and the store takes no mark for longer."""
    shop.job(GATED, deferrable=True)
    key = TaskKey("shop", "job", "run_1")
    shop.db.queue(key)
    tasks.work(shop.load("job"), shop.db, key)
    handle = shop.handle()
    marked: list[bool] = []

    class Silent:
        """Takes no mark before the job is gone."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
            until(lambda: not shop.jobs, PATIENCE)
            marked.append(True)
            self._store.write(uri, data, if_absent=if_absent)

    ports = shop.ports
    assert cleanup.cancel(replace(ports, store=Silent(ports.store)), handle, by="a test", wait=PATIENCE)
    assert marked
    assert cleanup.mark_of(ports.store, handle) is not None


def test_a_bucket_that_does_not_exist(shop: CloudShop) -> None:
    shop.connect(bucket="no-such-bucket")
    shop.job(QUICK)
    result = shop.run()
    assert isinstance(result.error, KineticError), result.log
    assert "no-such-bucket" in str(result.error)
    assert result.error.advice
    assert (shop.jobs, shop.calls) == ([], [])


def test_a_bucket_of_another_project(shop: CloudShop) -> None:
    shop.cloud.gcs.faults.denied.add("storage.objects.create")
    shop.job(QUICK)
    result = shop.run()
    assert isinstance(result.error, StoreError), result.log
    assert "storage.objects.create" in str(result.error)
    assert result.error.advice
    assert (shop.jobs, shop.calls) == ([], [])


def test_a_namespace_that_does_not_exist(shop: CloudShop) -> None:
    shop.connect(namespace="nowhere")
    shop.job(QUICK)
    result = shop.run()
    assert isinstance(result.error, KineticError), result.log
    assert "nowhere" in str(result.error)
    assert result.error.advice
    assert shop.calls == []


def test_a_right_that_is_missing_is_named(shop: CloudShop) -> None:
    kube = shop.cloud.kube
    token = kube.token("reader", [Rule(["get", "list", "watch"], ["jobs", "pods", "events"], ["default"])])
    kube.kubeconfig(shop.cloud.kubeconfig, token=token)
    shop.job(QUICK)
    result = shop.run()
    assert isinstance(result.error, ClusterError), result.log
    assert "create" in str(result.error)
    assert "jobs" in str(result.error)
    assert result.error.advice
    assert (shop.jobs, shop.calls) == ([], [])


def test_a_token_that_nobody_knows(shop: CloudShop) -> None:
    shop.cloud.kube.kubeconfig(shop.cloud.kubeconfig, token="stale")
    shop.job(QUICK)
    result = shop.run()
    assert isinstance(result.error, ClusterError), result.log
    assert result.error.advice
    assert shop.calls == []


def test_a_job_that_a_webhook_refuses(shop: CloudShop) -> None:
    message = 'admission webhook "policy.example" denied the request: every Job needs a cost centre'
    shop.cloud.kube.fail(verb="create", resource="jobs", status=403, message=message, times=99)
    shop.job(QUICK)
    result = shop.run()
    assert isinstance(result.error, ClusterError), result.log
    assert "every Job needs a cost centre" in str(result.error)
    assert result.error.advice
    assert shop.calls == []


def test_a_name_that_somebody_else_has_taken(shop: CloudShop) -> None:
    """The id belongs to another submission: it is neither adopted nor harmed."""
    shop.job(QUICK, retries=1)
    shop.cloud.kube.fail(verb="create", resource="jobs", status=403, message="not now", times=1)
    first = shop.run()
    assert first.state == "up_for_retry"
    job_id = shop.db.store[first.key]["kinetic_submission"]["job_id"]
    container = {"name": "theirs", "image": shop.image, "command": ["sleep", "600"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    theirs = {"metadata": {"name": f"kinetic-{job_id}"}, "spec": {"template": template}}
    shop.cloud.kube.registry.create(JOBS, "default", {"apiVersion": "batch/v1", "kind": "Job", **theirs})
    second = shop.again(first)
    assert isinstance(second.error, JobConflict), second.log
    assert second.error.advice
    assert [job["metadata"]["name"] for job in shop.jobs] == [f"kinetic-{job_id}"]
    assert shop.calls == []


@pytest.fixture(params=[3600, -3600], ids=["ahead", "behind"])
def elsewhen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudShop]:
    """The cluster's clock is an hour off, or the worker's is."""
    with CloudShop.opened(tmp_path, monkeypatch, clock_offset=request.param) as shop:
        yield shop


@modes
def test_clocks_that_differ_by_an_hour_time_nothing_out(elsewhen: CloudShop, deferrable: bool) -> None:
    elsewhen.job(GATED, deferrable=deferrable, startup_timeout=120, run_timeout=120)
    with elsewhen.meanwhile(lambda: (elsewhen.running(), elsewhen.open_gate())):
        ran_once(elsewhen, elsewhen.run())


@modes
def test_clocks_that_differ_by_an_hour_do_not_hide_a_deadline(elsewhen: CloudShop, deferrable: bool) -> None:
    elsewhen.job(GATED, deferrable=deferrable, startup_timeout=120, run_timeout=1)
    result = elsewhen.run()
    assert isinstance(result.error, JobTimeout), result.log
    assert "run_timeout" in str(result.error)
    until(lambda: not elsewhen.jobs, PATIENCE)
    assert len(elsewhen.calls) <= 1


def test_a_namespace_for_each_team(shop: CloudShop, tmp_path: Path) -> None:
    """Each with an identity of its own that may do nothing elsewhere."""
    kube = shop.cloud.kube
    for team in ("team-a", "team-b"):
        kube.add_namespace(team)
        kube.kubeconfig(tmp_path / team, token=kube.token(team, [Rule(["*"], ["*"], [team])]), namespace=team)
    shop.job(QUICK, cleanup="never")
    for team in ("team-a", "team-b"):
        shop.connect(namespace=team)
        connection = shop.db.connections["kubernetes_default"]
        _use(shop, tmp_path / team, connection)
        result = shop.run(run_id=team)
        assert result.state == "success", result.log
    assert len(shop.calls) == 2
    assert [len(shop.cloud.jobs(name)) for name in ("team-a", "team-b", "default")] == [1, 1, 0]
    shop.connect(namespace="team-a")
    forbidden = shop.run(run_id="team-c")
    assert forbidden.state == "success", "the administrator's own kubeconfig may"
    _use(shop, tmp_path / "team-b", shop.db.connections["kubernetes_default"])
    forbidden = shop.run(run_id="team-d")
    assert isinstance(forbidden.error, ClusterError), forbidden.log
    assert "team-a" in str(forbidden.error)


def _use(shop: CloudShop, kubeconfig: Path, connection: dict[str, str]) -> None:
    connection["extra"] = json.dumps({"kube_config_path": str(kubeconfig)})
    fitting = {**connection, "extra": json.loads(connection["extra"])}
    shop.monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(fitting))
