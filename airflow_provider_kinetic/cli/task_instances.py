"""What Airflow's database knows of the task instances that submitted jobs.

Commands may read the database, tasks may not: this is the only module that does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

from airflow_provider_kinetic.hooks.journal import KEY
from airflow_provider_kinetic.hooks.task_facts import TO_THE_END
from airflow_provider_kinetic.lifecycle.gc import Facts, TaskFacts
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.spec import TaskIdentity

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@contextmanager
def database() -> Iterator[Session]:
    """A session on Airflow's database.

    :raises ConfigurationError: it cannot be reached, or it is not the database of this Airflow.
    """
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            _check(session)
            yield session
    except SQLAlchemyError as failed:
        raise ConfigurationError(
            f"Airflow's database could not be asked: {str(failed).splitlines()[0]}",
            advice="Run this where AIRFLOW_HOME and `[database] sql_alchemy_conn` are those of the scheduler.",
        ) from failed


@contextmanager
def asked() -> Iterator[Facts]:
    """Asks the database, which is opened with the first question.

    :raises ConfigurationError: as :func:`database`, with the question.
    """
    with ExitStack() as stack:
        session = cache(lambda: stack.enter_context(database()))
        yield lambda identity: facts(session(), identity)


def _check(session: Session) -> None:
    """An empty database would make every job look abandoned."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    if session.execute(select(DagRun.id).limit(1)).first() is None:
        raise ConfigurationError(
            "Airflow's database knows no DAG run at all, so it cannot tell which jobs are still wanted.",
            advice="Run this where `[database] sql_alchemy_conn` is that of the scheduler; cancel single jobs with "
            "`airflow kinetic jobs cancel`.",
        )


def facts(session: Session, identity: TaskIdentity) -> TaskFacts | None:
    """The state of a task instance and its newest job; None when there is no such task instance."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    columns = select(TaskInstance.state, TaskInstance.operator, TaskInstance.custom_operator_name)
    found = session.execute(
        columns.where(
            TaskInstance.dag_id == identity.dag_id,
            TaskInstance.run_id == identity.run_id,
            TaskInstance.task_id == identity.task_id,
            TaskInstance.map_index == identity.map_index,
        )
    ).first()
    if found is None:
        return None
    state, operator, custom_name = found
    return TaskFacts(
        state=None if state is None else str(state),
        newest_job_id=_newest_job(session, identity),
        outlived=TO_THE_END.isdisjoint({operator, custom_name}),
    )


def _newest_job(session: Session, identity: TaskIdentity) -> str | None:
    """The job id in the task's submission record (``hooks.journal``)."""
    from airflow._shared.state import TaskScope
    from airflow.state import get_state_backend

    scope = TaskScope(identity.dag_id, identity.run_id, identity.task_id, identity.map_index)
    stored = get_state_backend().get(scope, KEY, session=session)
    try:
        record = json.loads(stored) if stored else None
    except ValueError:
        return None
    return record.get("job_id") if isinstance(record, dict) else None
