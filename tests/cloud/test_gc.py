"""Jobs that nobody wants any more are found and ended, by the command line and by a DAG, and no others."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import tasks
from airflow.dag_processing.dagbag import DagBag
from cloud_shop import CloudShop
from execution_api import ExecutionApi
from installation import TaskKey
from kube import Rule
from tables import Tables

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState

DAG_FILE = Path(__file__).parents[2] / "dags" / "kinetic_gc.py"
TASKS = """
def f():
    at_the_gate("{gate}")

with DAG("shop", schedule=None) as dag:
    for name in ("wanted", "marked", "gone", "cleared", "succeeded", "elsewhere"):
        KineticRunOperator(task_id=name, python_callable=f, deferrable=True, retries=1, **JOB)
    KineticSubmitOperator(task_id="submit", python_callable=f, **JOB)
"""
Rows = dict[str, dict[str, Any]]


def key(task_id: str) -> TaskKey:
    return TaskKey("shop", task_id, "run_1")


def deferred(shop: CloudShop, task_id: str) -> JobHandle:
    """A task that has deferred on its job, and no triggerer looks after it."""
    shop.db.queue(key(task_id), max_tries=1, operator="KineticRunOperator")
    outcome = tasks.work(shop.load(task_id), shop.db, key(task_id))
    assert shop.db.rows[key(task_id)].state == "deferred", outcome.error
    return shop.handle(task_id)


def state(handle: JobHandle) -> JobState:
    return KineticHook.of(handle).status(handle).state


def by_dag(shop: CloudShop, *, dry_run: bool, everywhere: bool) -> Rows:
    """A run of the DAG: what it says of each job."""
    run_id = f"gc_{len(shop.db.confs)}"
    shop.db.confs[run_id] = {"dry_run": dry_run, "all_namespaces": everywhere}
    dag = DagBag(str(DAG_FILE), safe_mode=False, load_op_links=False).dags["kinetic_gc"]
    ended = tasks.run(dag.get_task("end_unwanted_jobs"), shop.db, run_id=run_id)
    assert ended.state == "success", ended.log
    del shop.db.rows[ended.key]
    return {row["job_id"]: row for row in ended.value}


def by_command(shop: CloudShop, *, dry_run: bool, everywhere: bool) -> Rows:
    """``airflow kinetic gc``, with a database that holds what the installation holds."""
    from airflow.cli.cli_parser import get_parser

    words = ["kinetic", "gc", "-o", "json", *["--dry-run"] * dry_run, *["--all-namespaces"] * everywhere]
    shop.monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # what the command sets is taken back after the test
    args = get_parser().parse_args(words)
    out = io.StringIO()
    with Tables.opened() as tables, redirect_stdout(out):
        tables.mirror(shop.db)
        args.func(args)
    return {row["job_id"]: row for row in json.loads(out.getvalue())}


Collector = Callable[..., Rows]
collectors = pytest.mark.parametrize("collect", [by_dag, by_command])


def upstreams_job(shop: CloudShop, job_id: str, *, name: str = "", annotations: Any = None) -> None:
    """A Job as upstream's client makes them: its labels, and no word of an Airflow unless there are ``annotations``."""
    labels = {"app": "kinetic", "job-id": job_id}
    container = {"name": "kinetic-worker", "image": shop.image, "command": ["sleep", "600"]}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name or f"kinetic-{job_id}", "labels": labels, "annotations": annotations or {}},
        "spec": {"backoffLimit": 0, "template": template},
    }
    kube = shop.cloud.kube
    kube.registry.create(kube.resource("jobs"), "default", job)


@collectors
def test_what_nobody_wants_is_ended_and_nothing_else(
    shop: CloudShop, collect: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(TASKS)
    jobs = {task_id: deferred(shop, task_id) for task_id in ("wanted", "marked", "gone", "cleared", "succeeded")}
    monkeypatch.setenv("AIRFLOW__KINETIC__INSTALLATION_ID", "another")
    jobs["elsewhere"] = deferred(shop, "elsewhere")
    monkeypatch.delenv("AIRFLOW__KINETIC__INSTALLATION_ID")
    assert shop.run("submit").state == "success"
    jobs["submit"] = shop.handle("submit")
    upstreams_job(shop, "job-of-upstream")
    shop.db.mark(key("marked"), "failed")
    shop.db.mark(key("elsewhere"), "failed")
    shop.db.mark(key("succeeded"), "success")
    del shop.db.rows[key("gone")]
    shop.db.push(key("cleared"), "kinetic_job", {"job_id": "job-of-now"})
    shop.db.store[key("cleared")]["kinetic_submission"]["job_id"] = "job-of-now"

    planned = collect(shop, dry_run=True, everywhere=False)
    assert {task_id: planned[handle.job_id]["action"] for task_id, handle in jobs.items()} == {
        "wanted": "keep",
        "marked": "cancel",
        "gone": "cancel",
        "cleared": "cancel",
        "succeeded": "cancel",
        "submit": "keep",
        "elsewhere": "not ours",
    }
    assert planned["job-of-upstream"]["action"] == "not ours"
    assert {row["outcome"] for row in planned.values()} == {None}
    assert len(shop.jobs) == len(jobs) + 1

    done = collect(shop, dry_run=False, everywhere=False)
    ended = {task_id for task_id, handle in jobs.items() if done[handle.job_id]["outcome"] == "cancelled"}
    assert ended == {"marked", "gone", "cleared", "succeeded"}
    left = {handle.job_id for task_id, handle in jobs.items() if task_id not in ended}
    assert set(collect(shop, dry_run=False, everywhere=False)) == {*left, "job-of-upstream"}
    assert not any(job["metadata"].get("deletionTimestamp") for job in shop.jobs)
    assert {state(jobs[task_id]) for task_id in ("wanted", "submit", "elsewhere")} <= {
        JobState.RUNNING,
        JobState.PENDING,
    }


@collectors
def test_jobs_of_all_namespaces_are_found_where_the_connection_may_see_them(
    shop: CloudShop, collect: Collector
) -> None:
    for name in ("team-a", "team-b"):
        shop.cloud.kube.add_namespace(name)
    shop.write(TASKS)
    shop.connect(namespace="team-a")
    there = deferred(shop, "marked")
    shop.db.mark(key("marked"), "failed")
    shop.connect(namespace="team-b")
    shop.db.queue(key("wanted"))
    assert set(collect(shop, dry_run=True, everywhere=False)) == set()
    done = collect(shop, dry_run=False, everywhere=True)
    assert {job_id: row["outcome"] for job_id, row in done.items()} == {there.job_id: "cancelled"}
    assert shop.cloud.jobs("team-a") == []


def test_a_connection_that_may_only_see_its_own_namespace_judges_that_one(shop: CloudShop) -> None:
    kube = shop.cloud.kube
    kube.add_namespace("team-a")
    kube.kubeconfig(shop.cloud.kubeconfig, token=kube.token("team", [Rule(["*"], ["*"], ["team-a"])]))
    shop.write(TASKS)
    shop.connect(namespace="team-a")
    mine = deferred(shop, "marked")
    shop.db.mark(key("marked"), "failed")
    done = by_dag(shop, dry_run=False, everywhere=True)
    assert {job_id: row["outcome"] for job_id, row in done.items()} == {mine.job_id: "cancelled"}


def test_what_airflow_does_not_say_ends_no_job(shop: CloudShop) -> None:
    shop.write(TASKS)
    handle = deferred(shop, "marked")
    shop.db.mark(key("marked"), "failed")

    def lost(name: str) -> None:
        if name.startswith("GET states"):
            raise ConnectionError("the API server is away")

    dag = DagBag(str(DAG_FILE), safe_mode=False, load_op_links=False).dags["kinetic_gc"]
    where = TaskKey("kinetic_gc", "end_unwanted_jobs", "gc_1")
    shop.db.queue(where)
    with tasks.captured_log():
        ended = tasks.work(dag.get_task("end_unwanted_jobs"), shop.db, where, api=ExecutionApi(shop.db, before=lost))
    assert ended.state == "success", ended.error
    (row,) = shop.db.xcom(where)
    assert (row["job_id"], row["action"]) == (handle.job_id, "keep")
    assert not state(handle).terminal


def test_an_object_that_calls_itself_by_another_job_s_id_harms_nobody(
    shop: CloudShop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its labels and annotations are ours, its name is not."""
    shop.write(TASKS)
    wanted = deferred(shop, "wanted")
    (job,) = shop.jobs
    forged = copy.deepcopy(job["metadata"]["annotations"])
    forged["airflow-provider-kinetic/task"] = "gone"
    upstreams_job(shop, wanted.job_id, name="forged", annotations=forged)
    dag = DagBag(str(DAG_FILE), safe_mode=False, load_op_links=False).dags["kinetic_gc"]
    ended = tasks.run(dag.get_task("end_unwanted_jobs"), shop.db, run_id="gc_1")
    assert ended.state == "failed"
    assert "The object forged says" in capsys.readouterr().out
    assert not state(wanted).terminal
