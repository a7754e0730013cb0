"""A whole job in one task: submit, observe, collect, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.operators.following import JobFollower
from airflow_provider_kinetic.operators.job import KineticJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.status import JobStatus

POLICIES = ("on_success", "always", "never")


class KineticRunOperator(JobFollower, KineticJobOperator):
    """Run a function as a Kinetic job and hand on what it returns.

    A small JSON-able value becomes the XCom; anything else a reference that ``load_result`` opens. XCom also gets
    ``job_id``, ``result_uri``, ``output_dir`` and ``kinetic_job`` (the handle), all of them at submit; after a job that
    used ``job.trial()``, however it ended, ``kinetic_trial`` and ``kinetic_checkpoint`` (a ``KineticCheckpoint``).

    A retry follows the job of the try before, or collects its result; a clear runs the function again.

    :param job_id: attach to this job instead of submitting one, also to one of an earlier run or of upstream's client.
    :param deferrable: wait in the triggerer.
    :param poll_interval: seconds between two looks at the job.
    :param cleanup: ``"on_success"``, ``"always"`` or ``"never"``: when the job's object and artifacts go.
        Outputs, and the result beside them, always stay.
    :param cancel_on_kill: whether clearing, failing or timing out the task cancels the job.
        None: if this task submitted it.
    :param trust_bucket: whether a result whose digest nobody reported may be opened. None: only of upstream's
        jobs and on this machine.

    Other parameters: :class:`airflow_provider_kinetic.operators.job.KineticJobOperator`.

    :raises UserCodeError: the function raised; its own exception is the cause.
    :raises InfrastructureError: preempted too often, vanished, timed out, …: the class says which.
    :raises ConfigurationError: bad input, found before anything was sent.
    """

    template_fields: Sequence[str] = (*KineticJobOperator.template_fields, "job_id")

    def __init__(
        self,
        *,
        job_id: str | None = None,
        deferrable: bool | None = None,
        poll_interval: float | None = None,
        cleanup: str | None = None,
        cancel_on_kill: bool | None = None,
        trust_bucket: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.cleanup = cleanup
        self.cancel_on_kill = cancel_on_kill
        self.trust_bucket = trust_bucket
        if cleanup not in (None, *POLICIES):
            raise ConfigurationError(f"`cleanup` is {cleanup!r}; it must be one of {', '.join(POLICIES)}.")

    def execute(self, context: Context) -> Any:
        self._ti = context["ti"]
        if self.job_id is not None:
            self.check_parameters(submitting=False)
            handle = self.hook.attach(self.job_id)
            self.announce(context, handle)
            return self.follow(context, handle)
        submitted = self.submit(context, defers=self.deferrable)
        return self.follow(context, submitted.handle, submitted.status, submitted.pending)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None, **rest: Any) -> Any:
        """As in the worker that submitted it: what the job has left is told and shown without its secrets."""
        try:
            if self.job_id is None:
                self._environment(context)
        except Exception as error:
            self.log.warning("The task's secrets could not be rendered, and are not masked here: %s", error)
        return super().execute_complete(context, event, **rest)

    def cancels(self, handle: JobHandle) -> bool:  # noqa: ARG002 (the job is the one of this task)
        return self.job_id is None if self.cancel_on_kill is None else self.cancel_on_kill

    def finish(self, context: Context, handle: JobHandle, status: JobStatus) -> Any:
        from airflow_provider_kinetic.operators.outcome import value_of

        hook = KineticHook.of(handle, self.kinetic_conn_id)
        status = self._note_results(context, handle, status)
        try:
            value = value_of(self, hook, handle, status)
        except Exception:
            self._keep(hook, handle, status)
            if self._policy() == "always":
                self._clean(context, hook, handle, status)
            raise
        if self._policy() != "never":
            self._clean(context, hook, handle, status)
        return value

    def _note_results(self, context: Context, handle: JobHandle, status: JobStatus) -> JobStatus:
        """The next try must know the digests when the cluster knows the job no more."""
        from airflow_provider_kinetic.hooks.journal import TaskStateJournal, remembered
        from airflow_provider_kinetic.lifecycle.submission import note_results

        store = context["task_state_store"]
        if self.job_id is not None:
            return remembered(store, handle.job_id, status)
        note_results(TaskStateJournal(store), handle.job_id, status)
        return status

    def _keep(self, hook: KineticHook, handle: JobHandle, status: JobStatus) -> None:
        """How it failed, for whoever looks when the cluster has forgotten it."""
        from airflow_provider_kinetic.lifecycle.cleanup import preserve
        from airflow_provider_kinetic.model.errors import KineticError
        from airflow_provider_kinetic.model.status import JobState

        if status.state is JobState.FAILED:
            try:
                preserve(hook.ports, handle, status)
            except KineticError as error:
                self.log.warning("How job %s failed could not be kept: %s", handle.job_id, error)

    def timed_out(self, context: Context, handle: JobHandle, status: JobStatus) -> None:
        if self._policy() == "always":
            self._clean(context, KineticHook.of(handle, self.kinetic_conn_id), handle, status)

    def not_created(self, context: Context, handle: JobHandle) -> None:
        """The next try sends everything anew, under another id: what was wrong may have been corrected meanwhile."""
        from airflow_provider_kinetic.model.errors import KineticError
        from airflow_provider_kinetic.model.status import JobState, JobStatus

        hook = KineticHook.of(handle, self.kinetic_conn_id)
        try:
            hook.disown(handle, by="it could not be created")
        except KineticError as error:
            self.log.warning("Job %s was not given up: %s", handle.job_id, error)
        if self._policy() != "never":
            self._clean(context, hook, handle, JobStatus(JobState.NOT_FOUND))

    def _taken_down(self, handle: JobHandle) -> bool:
        taken = super()._taken_down(handle)
        if taken:
            self.abandon()
        return taken

    def _policy(self) -> str:
        """Attached jobs belong to somebody else and are cleaned only when that was asked for."""
        from airflow_provider_kinetic.hooks.settings import load_settings

        if self.cleanup is None and self.job_id is not None:
            return "never"
        return self.cleanup or load_settings().cleanup

    def _clean(self, context: Context, hook: KineticHook, handle: JobHandle, status: JobStatus) -> None:
        """Errors of the clean-up do not undo a result: gc and the bucket's own rule find what is left."""
        from airflow_provider_kinetic.model.errors import KineticError
        from airflow_provider_kinetic.model.status import JobState

        known = status if status.state is not JobState.NOT_FOUND else None
        try:
            hook.cleanup(handle, by=self.actor(context), known=known)
        except KineticError as error:
            self.log.warning("Job %s was not cleaned up: %s", handle.job_id, error)
        else:
            kept = f"; its outputs stay in {handle.output_dir}" if handle.output_dir else ""
            self.log.info("Job %s is cleaned up%s", handle.job_id, kept)
