"""The third step of a job as a task of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_kinetic.hooks.kinetic import DEFAULT_CONN_ID, KineticHook
from airflow_provider_kinetic.hooks.task import push_handle
from airflow_provider_kinetic.links.job import LINKS
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.operators.attached import job_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class KineticCollectOperator(BaseOperator):
    """Bring back the value of a job that is over, as often as asked.

    :param job: the ``kinetic_job`` XCom of the submitting task (templated), or a job id.
    :param job_id: a job id (templated), also of an earlier run or of upstream's client.
    :param trust_bucket: whether a result whose digest nobody reported may be opened. None: only of upstream's
        jobs and on this machine.
    :param kinetic_conn_id: connection of type ``kinetic``.
    :raises UserCodeError: the function raised; its own exception is the cause.
    :raises ConfigurationError: the job still runs.
    """

    template_fields = ("job", "job_id")
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | str | None = None,
        job_id: str | None = None,
        trust_bucket: bool | None = None,
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.job_id = job_id
        self.trust_bucket = trust_bucket
        self.kinetic_conn_id = kinetic_conn_id

    def execute(self, context: Context) -> Any:
        from airflow_provider_kinetic.operators.outcome import value_of

        handle = job_of(self.job, self.job_id, self.kinetic_conn_id)
        hook = KineticHook.of(handle, self.kinetic_conn_id)
        push_handle(context, handle)
        status = hook.status(handle)
        if not status.state.terminal:
            raise ConfigurationError(
                f"Job {handle.job_id} is {status.state.value}: there is nothing to collect yet.",
                advice="Put a KineticJobSensor before this task.",
            )
        return value_of(self, hook, handle, status)
