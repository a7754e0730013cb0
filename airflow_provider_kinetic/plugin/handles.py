"""From a task instance to the handle of its job, in the API server.

The handle is the XCom of the newest try: Airflow deletes a task instance's XComs when its next try starts.

Who may write XComs is not who may read this machine's files. So the folders that a handle names are
believed only when they show that a runner of this very job was there (:func:`belongs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.hooks.task import XCOM_HANDLE
from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.stores.base import Store

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class TaskKey:
    """Which task instance a page is about."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> TaskKey:
        """From a URL. A map index that is no number (``{MAP_INDEX}`` of a task that is not mapped) is -1."""
        try:
            index = int(map_index)
        except ValueError:
            index = -1
        return cls(dag_id, run_id, task_id, index)


class NoJob(Exception):
    """This task instance has no job, or none yet."""


def handle_of(key: TaskKey) -> JobHandle:
    """The handle that the task instance's newest try pushed.

    :raises NoJob: it has pushed none.
    :raises ArtifactCorrupt: what is there is no handle.
    """
    value = _xcom(key)
    if not isinstance(value, Mapping):
        raise NoJob
    handle = JobHandle.from_dict(value)
    if not _JOB_ID.fullmatch(handle.job_id):
        raise NoJob
    return handle


def _xcom(key: TaskKey) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(
        key=XCOM_HANDLE,
        dag_ids=key.dag_id,
        run_id=key.run_id,
        task_ids=key.task_id,
        map_indexes=key.map_index,
        limit=1,
    ).with_only_columns(XComModel.value)
    with create_session() as session:
        value = session.execute(query).scalar()
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None


def belongs(store: Store, handle: JobHandle) -> bool:
    """Whether this job was started with the output directory that its handle names."""
    if handle.output_dir is None:
        return False
    return any(attempt.job_id == handle.job_id for attempt in trial.attempts(store, handle.output_dir))
