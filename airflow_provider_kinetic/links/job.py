"""Links from a task instance to its job: our own pages of it, and those of the Google Cloud console.

Airflow recomputes a link at every leg of a task with a fresh operator object, so nothing of the instance
may be used: the handle in XCom is the only source. It is there from the submit on, which makes the
links work while the task is deferred, for mapped tasks and after a retry (``airflow`` 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_provider_kinetic.hooks.task import XCOM_HANDLE
from airflow_provider_kinetic.links import cloud, pages

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


Handle = Mapping[str, Any]


class _JobLink(BaseOperatorLink):
    """A link that exists as soon as the job does. Airflow shows none whose address is empty."""

    name = "Job"

    def address(self, handle: Handle, ti: pages.TaskInstance) -> str:
        raise NotImplementedError

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        from airflow.sdk.execution_time.xcom import XCom

        handle = XCom.get_value(ti_key=ti_key, key=XCOM_HANDLE)
        return self.address(handle, ti_key) if isinstance(handle, Mapping) else ""


class _PageLink(_JobLink):
    """To a page of our own: every platform has them."""

    page = pages.JOB

    def address(self, handle: Handle, ti: pages.TaskInstance) -> str:  # noqa: ARG002
        from airflow.sdk import conf

        ui = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{ui}{pages.PREFIX}{pages.page_path(ti, self.page)}"


class KineticJobLink(_PageLink):
    """State, attempts and settings of the job."""

    name = "Kinetic job"
    page = pages.JOB


class KineticLogsLink(_PageLink):
    """Everything that the job printed."""

    name = "Job logs"
    page = pages.LOGS


class KineticOutputsLink(_PageLink):
    """Files that the job wrote."""

    name = "Outputs"
    page = pages.OUTPUTS


class KineticConsoleLink(_JobLink):
    """The Job in the Google Cloud console."""

    name = "Cloud console"

    def address(self, handle: Handle, ti: pages.TaskInstance) -> str:  # noqa: ARG002
        return cloud.job(handle)


class KineticCloudLogsLink(_JobLink):
    """Cloud Logging at the job's containers."""

    name = "Cloud logs"

    def address(self, handle: Handle, ti: pages.TaskInstance) -> str:  # noqa: ARG002
        return cloud.logs(handle)


class KineticBucketOutputsLink(_JobLink):
    """The output directory in the bucket."""

    name = "Outputs in the bucket"

    def address(self, handle: Handle, ti: pages.TaskInstance) -> str:  # noqa: ARG002
        return cloud.outputs(handle)


class KineticBucketArtifactsLink(_JobLink):
    """What the job was sent and sent back, until it is cleaned up."""

    name = "Artifacts in the bucket"

    def address(self, handle: Handle, ti: pages.TaskInstance) -> str:  # noqa: ARG002
        return cloud.artifacts(handle)


LINKS: tuple[_JobLink, ...] = (
    KineticJobLink(),
    KineticLogsLink(),
    KineticOutputsLink(),
    KineticConsoleLink(),
    KineticCloudLogsLink(),
    KineticBucketOutputsLink(),
    KineticBucketArtifactsLink(),
)


def push_links(context: Context, handle: Handle) -> None:
    """Show the links at once: Airflow itself pushes them only at the end of a leg.

    Past a custom XCom backend, as Airflow does: the UI reads links straight from its database.
    """
    from airflow.sdk import BaseXCom

    ti = context["ti"]
    identity: dict[str, Any] = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id")}
    for link in LINKS:
        if address := link.address(handle, ti):
            BaseXCom.set(link.xcom_key, address, **identity, map_index=pages.map_index(ti))
