"""The links of a task instance, run by Airflow's own task runner: they lead to its job from the submit on."""

from __future__ import annotations

import sys
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from airflow.sdk import DAG, TaskGroup
from airflow.serialization.serialized_objects import DagSerialization
from installation import Installation, TaskKey, local_connection
from tasks import run, watch, work

from airflow_provider_kinetic.links.build import BUILD_LINK
from airflow_provider_kinetic.links.job import LINKS
from airflow_provider_kinetic.operators.run import KineticRunOperator
from airflow_provider_kinetic.operators.submit import KineticSubmitOperator
from airflow_provider_kinetic.sensors.job import KineticJobSensor

RUN_ID = "manual__2026-01-01T00:00:00.5+02:00"
PAGES = {"Kinetic job": "job", "Job logs": "logs", "Outputs": "outputs"}
COMMON = {"accelerator": "cpu", "container_image": sys.executable, "stop_grace": 2, "poll_interval": 0.1}


@pytest.fixture
def db(tmp_path):
    db = Installation()
    db.connections.update(local_connection(tmp_path))
    return db


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    monkeypatch.setenv("AIRFLOW__KINETIC__MIN_DWELL", "0")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team/")


def double(x):
    return 2 * x


def broken_once(marker):
    from pathlib import Path

    if not Path(marker).exists():
        Path(marker).touch()
        raise ValueError("first")
    return 1


def links(db, key):
    """By name, as the UI reads them from the database: those of the serialized DAG."""
    return {link.name: db.xcom(key, link.xcom_key) for link in LINKS}


def assert_lead_to(key, found):
    for name, page in PAGES.items():
        url = urlsplit(found[name])
        assert f"{url.scheme}://{url.netloc}" == "https://airflow.example.org"
        assert [unquote(part) for part in url.path.split("/")] == [
            *("", "team", "kinetic", page),
            *(key.dag_id, key.run_id, key.task_id),
        ]
        assert parse_qs(url.query) == {"map_index": [str(key.map_index)]}


@pytest.mark.parametrize("deferrable", [False, True])
def test_after_the_end_they_lead_to_the_job(db, deferrable):
    with DAG("d", schedule=None) as dag, TaskGroup("models"):
        KineticRunOperator(task_id="double", python_callable=double, op_args=[21], deferrable=deferrable, **COMMON)

    result = run(dag.get_task("models.double"), db, run_id=RUN_ID)

    assert (result.state, result.value) == ("success", 42)
    assert_lead_to(result.key, links(db, result.key))


def test_they_are_there_while_the_task_is_deferred(db):
    with DAG("d", schedule=None) as dag:
        KineticRunOperator(task_id="double", python_callable=double, op_args=[21], deferrable=True, **COMMON)
    key = TaskKey("d", "double", RUN_ID)
    db.queue(key)

    work(dag.get_task("double"), db, key)

    assert db.rows[key].state == "deferred"
    assert_lead_to(key, links(db, key))
    watch(db, key)


def test_they_are_there_before_the_worker_begins_to_wait(db):
    """Airflow itself pushes links only at the end of a leg, and a worker's leg is as long as its job."""
    with DAG("d", schedule=None) as dag:
        KineticRunOperator(task_id="double", python_callable=double, op_args=[21], deferrable=False, **COMMON)

    run(dag.get_task("double"), db, run_id=RUN_ID)

    pushes = [call for call in db.calls if call.startswith("POST xcom")]
    first = pushes.index("POST xcom _link_KineticJobLink")
    assert first < pushes.index("POST xcom return_value")
    assert pushes.count("POST xcom _link_KineticJobLink") == 2


def test_every_mapped_task_instance_has_its_own(db):
    with DAG("d", schedule=None) as dag:
        KineticRunOperator.partial(task_id="each", python_callable=double, **COMMON).expand(op_args=[[1], [2]])

    keys = [run(dag.get_task("each"), db, run_id=RUN_ID, map_index=index).key for index in (0, 1)]

    for key in keys:
        assert_lead_to(key, links(db, key))
    assert links(db, keys[0]) != links(db, keys[1])


def test_they_are_there_again_after_a_retry(db, tmp_path):
    with DAG("d", schedule=None) as dag:
        KineticRunOperator(
            task_id="once", python_callable=broken_once, op_args=[str(tmp_path / "marker")], retries=1, **COMMON
        )
    first = run(dag.get_task("once"), db, run_id=RUN_ID)
    db.retry(first.key)
    jobs = {db.xcom(first.key, "job_id")}

    second = run(dag.get_task("once"), db, run_id=RUN_ID)

    assert (first.state, second.state) == ("up_for_retry", "success")
    assert len(jobs | {db.xcom(first.key, "job_id")}) == 2
    assert_lead_to(second.key, links(db, second.key))


def test_a_task_that_submitted_nothing_has_none(db):
    with DAG("d", schedule=None) as dag:
        KineticRunOperator(task_id="bad", python_callable=double, op_args=[1], **{**COMMON, "accelerator": "no-such"})

    result = run(dag.get_task("bad"), db)

    assert result.state == "failed"
    assert set(links(db, result.key).values()) <= {None, ""}


def test_a_sensor_links_to_the_job_that_it_watches(db):
    with DAG("d", schedule=None) as dag:
        KineticSubmitOperator(
            task_id="submit", python_callable=double, op_args=[1], accelerator="cpu", container_image=sys.executable
        )
        KineticJobSensor(task_id="wait", job="{{ ti.xcom_pull('submit', key='job_id') }}", poll_interval=0.1)

    run(dag.get_task("submit"), db, run_id=RUN_ID)
    result = run(dag.get_task("wait"), db, run_id=RUN_ID)

    assert result.state == "success"
    assert_lead_to(result.key, links(db, result.key))


def test_the_ui_knows_their_names_and_keys():
    """From the serialized DAG alone: the API server never imports the operator."""
    with DAG("d", schedule=None) as dag:
        KineticRunOperator(task_id="plain", python_callable=double, op_args=[1], **COMMON)
        KineticRunOperator.partial(task_id="each", python_callable=double, **COMMON).expand(op_args=[[1]])

    restored = DagSerialization.from_dict(DagSerialization.to_dict(dag))

    for task_id in ("plain", "each"):
        shown = restored.get_task(task_id).operator_extra_links
        assert {link.name: link.xcom_key for link in shown} == {
            link.name: link.xcom_key for link in (*LINKS, BUILD_LINK)
        }
