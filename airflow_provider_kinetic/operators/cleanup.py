"""The last step of a job as a task of its own, made to be a teardown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import XComNotFound

from airflow_provider_kinetic.hooks.kinetic import DEFAULT_CONN_ID, KineticHook
from airflow_provider_kinetic.hooks.task import describe
from airflow_provider_kinetic.model.errors import JobNotFound
from airflow_provider_kinetic.operators.attached import job_of

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context


class KineticCleanupOperator(BaseOperator):
    """Cancel a job if it still runs, and remove its object and artifacts. Idempotent.

    Outputs, and the result that is kept beside them, stay.

    :param job: the ``kinetic_job`` XCom of the submitting task (templated), or a job id. None, or nothing pushed: the
        submitting task never got that far, and there is nothing to do.
    :param job_id: a job id (templated).
    :param k8s: remove the job's object on the cluster (contract 9.2).
    :param artifacts: remove the job's artifacts in the store.
    :param kinetic_conn_id: connection of type ``kinetic``.
    """

    template_fields = ("job", "job_id")

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | str | None = None,
        job_id: str | None = None,
        k8s: bool = True,
        artifacts: bool = True,
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.job_id = job_id
        self.k8s = k8s
        self.artifacts = artifacts
        self.kinetic_conn_id = kinetic_conn_id

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """A teardown runs also when the submitting task has pushed nothing."""
        try:
            super().render_template_fields(context, jinja_env)
        except XComNotFound:
            self.job = self.job_id = None

    def execute(self, context: Context) -> None:
        from airflow_provider_kinetic.lifecycle.cleanup import Halves

        if not self.job and not self.job_id:
            self.log.info("No job was submitted: nothing to clean up")
            return
        try:
            handle = job_of(self.job or None, self.job_id or None, self.kinetic_conn_id)
        except JobNotFound as gone:
            self.log.info("%s", gone.summary)
            return
        hook = KineticHook.of(handle, self.kinetic_conn_id)
        before = hook.cleanup(handle, by=describe(context), halves=Halves(k8s=self.k8s, artifacts=self.artifacts))
        self.log.info("Job %s was %s; cleaned up", handle.job_id, before.state.value)
