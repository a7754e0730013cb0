"""Links from a task instance to its job: logs, outputs, the job itself.

Airflow recomputes a link at every leg of a task with a fresh operator object, so nothing of the instance
may be used: the handle in XCom is the only source. It is there from the submit on, which makes the
links work while the task is deferred, for mapped tasks and after a retry (``airflow`` 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

from airflow_provider_kinetic.hooks.task import XCOM_HANDLE

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


def page_url(ti_key: Any, page: str) -> str:
    """A page of our own in the Airflow UI for one task instance."""
    from airflow.sdk import conf

    base = conf.get("api", "base_url", fallback="").rstrip("/")
    path = "/".join(quote(str(part), safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
    index = getattr(ti_key, "map_index", -1)
    return f"{base}/kinetic/{page}/{path}?{urlencode({'map_index': -1 if index is None else index})}"


class _JobLink(BaseOperatorLink):
    """A link that exists as soon as the job does."""

    name = "Job"
    page = "job"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        from airflow.sdk.execution_time.xcom import XCom

        handle = XCom.get_value(ti_key=ti_key, key=XCOM_HANDLE)
        return page_url(ti_key, self.page) if handle else ""


class KineticJobLink(_JobLink):
    """State, attempts and settings of the job."""

    name = "Kinetic job"
    page = "job"


class KineticLogsLink(_JobLink):
    """Everything that the job printed."""

    name = "Job logs"
    page = "logs"


class KineticOutputsLink(_JobLink):
    """Files that the job wrote."""

    name = "Outputs"
    page = "outputs"


LINKS: tuple[_JobLink, ...] = (KineticJobLink(), KineticLogsLink(), KineticOutputsLink())


def push_links(context: Context) -> None:
    """Show the links at once: Airflow itself pushes them only at the end of a leg."""
    ti = context["ti"]
    for link in LINKS:
        ti.xcom_push(key=link.xcom_key, value=page_url(ti, link.page))
