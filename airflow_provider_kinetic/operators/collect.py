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

    from airflow_provider_kinetic.model.status import JobStatus


class KineticCollectOperator(BaseOperator):
    """Bring back the value of a job that is over, as often as asked.

    A result is opened when its digest is the one that the job has reported. The cluster knows that digest for as long
    as it has the job; this task, once it has collected, and the XCom of a :class:`KineticJobSensor` have it for as
    long as the run.

    :param job: the ``kinetic_job`` XCom of the submitting task (templated), or a job id.
    :param job_id: a job id (templated), also of an earlier run or of upstream's client.
    :param status: the XCom of the job's sensor (templated): then nothing depends on how long the cluster keeps the job.
    :param trust_bucket: whether a result whose digest nobody reported may be opened. None: only of upstream's
        jobs and on this machine.
    :param kinetic_conn_id: connection of type ``kinetic``.
    :raises UserCodeError: the function raised; its own exception is the cause.
    :raises ConfigurationError: the job still runs.
    """

    template_fields = ("job", "job_id", "status")
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | str | None = None,
        job_id: str | None = None,
        status: Mapping[str, Any] | None = None,
        trust_bucket: bool | None = None,
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.job_id = job_id
        self.status = status
        self.trust_bucket = trust_bucket
        self.kinetic_conn_id = kinetic_conn_id

    def execute(self, context: Context) -> Any:
        from airflow_provider_kinetic.hooks.journal import remembered
        from airflow_provider_kinetic.operators.outcome import value_of
        from airflow_provider_kinetic.operators.training import tell

        handle = job_of(self.job, self.job_id, self.kinetic_conn_id)
        hook = KineticHook.of(handle, self.kinetic_conn_id)
        push_handle(context, handle)
        status = self._known_status() or hook.status(handle)
        if not status.state.terminal:
            raise ConfigurationError(
                f"Job {handle.job_id} is {status.state.value}: there is nothing to collect yet.",
                advice="Put a KineticJobSensor before this task.",
            )
        status = remembered(context["task_state_store"], handle.job_id, status)
        try:
            value = value_of(self, hook, handle, status)
        except Exception as error:
            tell(self, context, hook, handle, error)
            raise
        tell(self, context, hook, handle, None)
        return value

    def _known_status(self) -> JobStatus | None:
        """The given one where it says all that is needed: how the job ended, and what it has left."""
        from airflow_provider_kinetic.model.status import JobStatus

        if not self.status:
            return None
        try:
            known = JobStatus.from_dict(self.status)
        except (KeyError, TypeError, ValueError) as unfit:
            raise ConfigurationError(
                f"`status` is not the final status of a job: {unfit!r}.",
                advice="Pass `status=` the XCom of the job's KineticJobSensor.",
            ) from None
        return known if known.state.terminal and known.objects else None
