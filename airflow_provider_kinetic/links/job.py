"""Links from a task instance to its job: logs, outputs, the job itself.

Airflow recomputes a link at every leg of a task with a fresh operator object, so nothing of the instance
may be used: the handle in XCom is the only source. It is there from the submit on, which makes the
links work while the task is deferred, for mapped tasks and after a retry (``airflow`` 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_provider_kinetic.hooks.task import XCOM_HANDLE
from airflow_provider_kinetic.links import pages

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


def target(page: str, handle: Mapping[str, Any], ti: pages.TaskInstance) -> str:  # noqa: ARG001
    """Where a link of this job leads.

    Every platform has our own pages. One with a console of its own (``handle["platform"]``) can send a page there.
    """
    from airflow.sdk import conf

    ui = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{ui}{pages.PREFIX}{pages.page_path(ti, page)}"


class _JobLink(BaseOperatorLink):
    """A link that exists as soon as the job does."""

    name = "Job"
    page = pages.JOB

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        from airflow.sdk.execution_time.xcom import XCom

        handle = XCom.get_value(ti_key=ti_key, key=XCOM_HANDLE)
        return target(self.page, handle, ti_key) if handle else ""


class KineticJobLink(_JobLink):
    """State, attempts and settings of the job."""

    name = "Kinetic job"
    page = pages.JOB


class KineticLogsLink(_JobLink):
    """Everything that the job printed."""

    name = "Job logs"
    page = pages.LOGS


class KineticOutputsLink(_JobLink):
    """Files that the job wrote."""

    name = "Outputs"
    page = pages.OUTPUTS


LINKS: tuple[_JobLink, ...] = (KineticJobLink(), KineticLogsLink(), KineticOutputsLink())


def push_links(context: Context, handle: Mapping[str, Any]) -> None:
    """Show the links at once: Airflow itself pushes them only at the end of a leg.

    Past a custom XCom backend, as Airflow does: the UI reads links straight from its database.
    """
    from airflow.sdk import BaseXCom

    ti = context["ti"]
    identity: dict[str, Any] = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id")}
    for link in LINKS:
        BaseXCom.set(link.xcom_key, target(link.page, handle, ti), **identity, map_index=pages.map_index(ti))
