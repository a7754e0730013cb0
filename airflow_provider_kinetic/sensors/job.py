"""The second step of a job as a task of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf

from airflow_provider_kinetic.hooks.kinetic import DEFAULT_CONN_ID, KineticHook
from airflow_provider_kinetic.hooks.task import push_handle
from airflow_provider_kinetic.links.job import LINKS, push_links
from airflow_provider_kinetic.operators.attached import job_of
from airflow_provider_kinetic.operators.following import JobFollower

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.status import JobStatus


class KineticJobSensor(JobFollower):
    """Wait until a job is over; its final status is the XCom.

    A job that failed fails the sensor, with the diagnosis of the failure. The sensor never cancels the job
    unless ``cancel_on_kill`` says so.

    :param job: the ``kinetic_job`` XCom of the submitting task (templated), or a job id.
    :param job_id: a job id (templated), also of an earlier run or of upstream's client.
    :param deferrable: wait in the triggerer.
    :param poll_interval: seconds between two looks at the job.
    :param cancel_on_kill: cancel the job when this task is cleared, failed or timed out.
    :param kinetic_conn_id: connection of type ``kinetic``.
    """

    template_fields = ("job", "job_id")
    operator_extra_links = LINKS
    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | str | None = None,
        job_id: str | None = None,
        deferrable: bool | None = None,
        poll_interval: float | None = None,
        cancel_on_kill: bool = False,
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.job_id = job_id
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.cancel_on_kill = cancel_on_kill
        self.kinetic_conn_id = kinetic_conn_id

    def execute(self, context: Context) -> Any:
        self._ti = context["ti"]
        handle = job_of(self.job, self.job_id, self.kinetic_conn_id)
        push_handle(context, handle)
        push_links(context, handle.to_dict())
        return self.follow(context, handle)

    def cancels(self, handle: JobHandle) -> bool:  # noqa: ARG002 (one job a sensor)
        return self.cancel_on_kill

    def finish(self, context: Context, handle: JobHandle, status: JobStatus) -> dict[str, Any]:  # noqa: ARG002
        from airflow_provider_kinetic.lifecycle.collect import locate, without_result
        from airflow_provider_kinetic.model.status import JobState
        from airflow_provider_kinetic.operators.outcome import collected
        from airflow_provider_kinetic.stores.base import ObjectMissing

        if status.state is JobState.SUCCEEDED:
            return status.to_dict()
        hook = KineticHook.of(handle, self.kinetic_conn_id)
        if status.state is JobState.FAILED:
            collected(self.log, hook, handle, status)
        if status.state is JobState.NOT_FOUND:
            try:
                locate(hook.ports.store, handle, handle.result_name)
            except ObjectMissing:
                pass
            else:
                return status.to_dict()
        raise without_result(hook.ports, handle, status)
