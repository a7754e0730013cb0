"""The link from a task instance to the log of its image's build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_provider_kinetic.hooks.task import XCOM_LOG_URL
from airflow_provider_kinetic.links.pages import map_index

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


class KineticBuildLink(BaseOperatorLink):
    """The build's log in the Google Cloud console; none where no image was built, or on this machine."""

    name = "Image build"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        from airflow.sdk.execution_time.xcom import XCom

        return _address(XCom.get_value(ti_key=ti_key, key=XCOM_LOG_URL))


BUILD_LINK = KineticBuildLink()


def push_build_link(context: Context, log_url: str) -> None:
    """Show the link while the build runs: Airflow itself pushes it only at the end of a leg.

    Past a custom XCom backend, as Airflow does: the UI reads links straight from its database.
    """
    from airflow.sdk import BaseXCom

    ti = context["ti"]
    if address := _address(log_url):
        identity: dict[str, Any] = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id")}
        BaseXCom.set(BUILD_LINK.xcom_key, address, **identity, map_index=map_index(ti))


def _address(log_url: object) -> str:
    """Only what a browser opens: a log on the worker's disk is none."""
    return log_url if isinstance(log_url, str) and log_url.startswith("https://") else ""
