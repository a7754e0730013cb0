"""Airflow's own API server with our plugin in it, as its entry point puts it there, and real jobs to look at."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from installation import local_connection

from airflow_provider_kinetic.hooks.connection import target_of
from airflow_provider_kinetic.hooks.platforms import open_ports
from airflow_provider_kinetic.lifecycle.submit import ensure
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity

DAG_ID = "training"
RUN_ID = "scheduled__2026-01-01T00:00:00+00:00"
TASK_ID = "models.train"


@dataclass
class Server:
    """Airflow's API server. ``sign_in`` says as whom the next requests come."""

    client: TestClient

    def sign_in(self, role: str | None) -> None:
        """As a user of that role; None signs out."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        self.client.cookies.clear()
        if role is not None:
            user = SimpleAuthManagerUser(username=f"the {role}", role=None if role == "nobody" else role)
            self.client.cookies.set("_token", get_auth_manager().generate_jwt(user))

    def push(self, value: Any, map_index: int = -1) -> None:
        """The XCom that a try of the task pushes when it has submitted."""
        from airflow.models.xcom import XComModel

        XComModel.set("kinetic_job", value, dag_id=DAG_ID, task_id=TASK_ID, run_id=RUN_ID, map_index=map_index)

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.client.get(path, follow_redirects=False, **kwargs)


@pytest.fixture(scope="session")
def airflow_server() -> Iterator[Server]:
    """With one run of one DAG in its database; the task is there unmapped and with map index 2."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # Airflow's own
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "long enough for SHA-512 " * 3)
        from airflow.api_fastapi.app import create_app
        from airflow.utils.db import initdb

        initdb()
        _run_a_dag()
        with TestClient(create_app("core"), base_url="http://airflow.test") as client:
            yield Server(client)


def _run_a_dag() -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk import DAG, BaseOperator, TaskGroup
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag, TaskGroup("models"):
        BaseOperator(task_id="train")
    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
        session.commit()
        SerializedDAG.bulk_write_to_db("dags-folder", None, [dag], session=session)
        SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="dags-folder", session=session)
        session.commit()
        run = SerializedDagModel.get_dag(DAG_ID, session=session).create_dagrun(
            run_id=RUN_ID,
            run_type=DagRunType.SCHEDULED,
            run_after=datetime(2026, 1, 1, tzinfo=UTC),
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        (plain,) = run.get_task_instances(session=session)
        mapped = TaskInstance(
            SerializedDagModel.get_dag(DAG_ID, session=session).get_task(TASK_ID),
            dag_version_id=plain.dag_version_id,
            run_id=RUN_ID,
            map_index=2,
        )
        session.add(mapped)


@pytest.fixture
def server(airflow_server: Server) -> Iterator[Server]:
    """Signed in as somebody who may look."""
    airflow_server.sign_in("viewer")
    yield airflow_server
    _forget_xcoms()


def _forget_xcoms() -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(XComModel))


@dataclass
class Journal:
    record: Any = None

    def load(self) -> Any:
        return self.record

    def save(self, record: Any) -> None:
        self.record = record


@dataclass
class Jobs:
    """Submits functions as the task would, to a local platform of its own."""

    folder: Path
    handles: list[JobHandle] = field(default_factory=list)

    def __post_init__(self) -> None:
        extra = json.loads(local_connection(self.folder)["kinetic_default"]["extra"])
        self.target = target_of(extra, kinetic_conn_id="kinetic_default", environ={}, airflow_home=self.folder)
        self.ports = open_ports(self.target)

    def submit(self, function: Callable[..., Any], *args: Any, secrets: dict[str, str] | None = None) -> JobHandle:
        work = Work(
            function=function,
            args=args,
            kwargs={},
            spec=JobSpec(
                func_name=function.__name__, accelerator="cpu", container_image=sys.executable, stop_grace=2.0
            ),
            identity=TaskIdentity(DAG_ID, TASK_ID, RUN_ID),
            max_tries=0,
            secrets=secrets or {},
        )
        handle = ensure(self.ports, self.target, work, Journal(), lambda _: None).handle
        self.handles.append(handle)
        return handle

    def finished(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> JobHandle:
        """The handle of a job that is over."""
        handle = self.submit(function, *args, **kwargs)
        self.until(lambda: self.ports.cluster.status(handle).state.terminal)
        return handle

    def until(self, condition: Callable[[], Any], patience: float = 20.0) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, "still not so"
            time.sleep(0.02)

    def close(self) -> None:
        for handle in self.handles:
            self.ports.cluster.delete(handle, wait=10)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path / "kinetic")
    yield made
    made.close()


@pytest.fixture(scope="session")
def lasting_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """For jobs that several tests look at."""
    made = Jobs(tmp_path_factory.mktemp("plugin") / "kinetic")
    yield made
    made.close()
