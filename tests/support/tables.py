"""The rows of Airflow's database that ``airflow kinetic gc`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from installation import Installation, TaskKey

from airflow_provider_kinetic.hooks.journal import KEY


class Tables:
    """An empty database that lasts as long as the block."""

    def __init__(self, session: Any) -> None:
        self.session = session

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Tables]:
        from airflow import settings
        from airflow.models import import_all_models
        from airflow.models.base import Base
        from airflow.utils.session import create_session

        import_all_models()
        Base.metadata.create_all(settings.engine)
        with create_session() as session:
            yield cls(session)
        Base.metadata.drop_all(settings.engine)

    def run(self, run_id: str = "r1", dag_id: str = "etl") -> None:
        from airflow.models.dagrun import DagRun

        values = {"dag_id": dag_id, "run_id": run_id, "run_type": "manual", "state": "running"}
        unset = dict.fromkeys(("data_interval_end", "logical_date", "log_template_id"))
        self.session.execute(DagRun.__table__.insert().values(**values, **unset))
        self.session.commit()

    def task(self, task_id: str, state: str | None, *, newest: str | None = None, operator: str | None = None) -> None:
        self.instance(TaskKey("etl", task_id, "r1"), state, newest=newest, operator=operator)

    def instance(
        self, key: TaskKey, state: str | None, *, newest: str | None = None, operator: str | None = None
    ) -> None:
        """``newest``: the job of its newest submission."""
        from airflow._shared.state import TaskScope
        from airflow.models.taskinstance import TaskInstance
        from airflow.state import get_state_backend

        row = {**key._asdict(), "state": state, "operator": operator or "KineticRunOperator", "pool": "default_pool"}
        self.session.execute(TaskInstance.__table__.insert().values(**row, pool_slots=1))
        if newest:
            record = json.dumps({"job_id": newest, "n": 1})
            scope = TaskScope(key.dag_id, key.run_id, key.task_id, key.map_index)
            get_state_backend().set(scope, KEY, record, session=self.session)
        self.session.commit()

    def mirror(self, db: Installation) -> None:
        """The task instances of an installation without a database."""
        for dag_id, run_id in {(key.dag_id, key.run_id) for key in db.rows}:
            self.run(run_id, dag_id)
        for key, row in db.rows.items():
            record = db.store.get(key, {}).get(KEY, {})
            self.instance(key, row.state, newest=record.get("job_id"), operator=row.operator)
