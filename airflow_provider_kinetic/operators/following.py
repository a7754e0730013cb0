"""Following a job from a task: in the worker or by deferral, with one ending.

Whatever the mode, a task that follows a job does the same five things: look first (a job that is over is
never deferred on), wait, show the rest of the log, tell how it ended, and, if it submitted the job, take
it down when the task is taken down.

DAG files import this module; what it works with is imported when a task runs.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferralError

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.hooks.task import XCOM_BUILD, XCOM_HANDLE, XCOM_LOG_CURSOR, cursor_of
from airflow_provider_kinetic.operators.interruptible import Interruptible, Killed
from airflow_provider_kinetic.operators.killing import goes_on, is_last_try

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.lifecycle.observe import Outcome
    from airflow_provider_kinetic.lifecycle.submit import Pending
    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.status import JobStatus

DRAIN_CHUNKS = 200
"""Log chunks (at most 1 MiB each) that a resumed worker still shows; the log in the store is complete."""


class JobFollower(Interruptible):
    """Mixin state of an operator that waits for a job.

    Subclasses set ``deferrable``, ``poll_interval`` and ``cancel_on_kill`` in their constructors and implement
    :meth:`finish`.
    """

    deferrable: bool
    kinetic_conn_id: str

    _hook: KineticHook | None = None
    _followed: JobHandle | None = None
    _concluded: JobHandle | None = None
    """It is over, and this leg collects what it left."""

    def cancels(self, handle: JobHandle) -> bool:
        """Whether the job dies with this task: only the task that submitted a job cancels it (design 1)."""
        raise NotImplementedError

    def finish(self, context: Context, handle: JobHandle, status: JobStatus) -> Any:
        """The task's value, from a job that is over."""
        raise NotImplementedError

    def timed_out(self, context: Context, handle: JobHandle, status: JobStatus) -> None:
        """A deadline has passed; the task fails after this."""

    def not_created(self, context: Context, handle: JobHandle) -> None:
        """The job could not be created; the task fails after this."""

    def follow(
        self, context: Context, handle: JobHandle, status: JobStatus | None = None, pending: Pending | None = None
    ) -> Any:
        """Wait for the job's end, then :meth:`finish`.

        :param status: a final one that is known already.
        :param pending: what the job still waits for before there is one.
        """
        from airflow_provider_kinetic.operators.training import tell

        try:
            outcome = self._outcome(context, handle, status, pending)
        except AirflowTaskTimeout as error:
            self._followed = None
            hook = self._hook or KineticHook.of(handle, self.kinetic_conn_id)
            if cancelled := self.cancels(handle):
                hook.cancel(handle, by="execution_timeout")
            tell(self, context, hook, handle, error, over=cancelled)
            raise
        return self._conclude(context, handle, outcome)

    def _outcome(
        self, context: Context, handle: JobHandle, status: JobStatus | None, pending: Pending | None
    ) -> Outcome:
        """How the job ended, in the worker; a deferrable task that has to wait leaves it here."""
        from airflow_provider_kinetic.lifecycle.effects import drive
        from airflow_provider_kinetic.lifecycle.observe import Outcome, watch

        hook = KineticHook.of(handle, self.kinetic_conn_id)
        status = status or (None if pending else hook.status(handle))
        # Only now may `on_kill` need the hook: while it is opened, the handler would wait for locks of its own thread.
        self._hook, self._followed = hook, handle
        if self._killed and self._taken_down(handle):  # it came while there was no job yet
            raise Killed("The task was killed while its job was submitted.")
        if status is not None and status.state.terminal:
            return Outcome(status)
        if self.deferrable:
            self._defer(context, handle, pending)
        timeout, cancels = self._timeout(context), self.cancels(handle)
        watching = watch(handle, poll=self._poll(), timeout=timeout, cancels=cancels)
        return drive(watching, hook.ports, say=self._say, show=self._show, sleep=self._sleep)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None, **_: Any) -> Any:
        """Second leg of a deferred task: the job is over, or its deadline has passed."""
        from airflow_provider_kinetic.lifecycle.observe import Outcome

        self._ti = ti = context["ti"]
        handle, outcome = self._own_job(context), Outcome.from_dict(event or {})
        if outcome.error is not None:
            self.not_created(context, handle)
            raise outcome.error
        if not outcome.cursor:  # this life of the trigger showed nothing; an earlier one may have
            found = ti.xcom_pull(key=XCOM_LOG_CURSOR, task_ids=self.task_id, map_indexes=ti.map_index)
            outcome = replace(outcome, cursor=cursor_of(found, handle.job_id))
        return self._conclude(context, handle, outcome)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """A trigger that broke down must not leave its job behind: the next try follows it, after the last it ends."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralError:
            last = is_last_try(context["ti"])
            if last and self._pushed(context) and self.cancels(handle := self._own_job(context)):
                hook = KineticHook.of(handle, self.kinetic_conn_id)
                hook.cancel(handle, by="the trigger failed")
                self._cancel_build(context, hook)
            raise

    def _cancel_build(self, context: Context, hook: KineticHook) -> None:
        """The build of the job's image, if this task started it and it still runs."""
        from airflow_provider_kinetic.model.images import Build

        ti = context["ti"]
        pushed = ti.xcom_pull(key=XCOM_BUILD, task_ids=self.task_id, map_indexes=ti.map_index)
        if pushed and (build := Build.from_dict(pushed)).started_by_us:
            hook.ports.builder.cancel(build)

    def _pushed(self, context: Context) -> Any:
        """The handle as the first leg of this task instance pushed it; a mapped task has one for each index."""
        ti = context["ti"]
        return ti.xcom_pull(key=XCOM_HANDLE, task_ids=self.task_id, map_indexes=ti.map_index)

    def _own_job(self, context: Context) -> JobHandle:
        from airflow_provider_kinetic.model.handle import JobHandle

        return JobHandle.from_dict(self._pushed(context) or {})

    def on_kill(self) -> None:
        """Take the job down with the task."""
        super().on_kill()
        if self._followed is not None:
            self._taken_down(self._followed)
        elif self._concluded is not None and self.cancels(self._concluded) and not goes_on(self._ti):
            KineticHook.of(self._concluded, self.kinetic_conn_id).disown(self._concluded, by="the task was killed")

    def _taken_down(self, handle: JobHandle) -> bool:
        """Cancel the job, unless it is not ours or another try will follow it (the worker only shuts down)."""
        if not self.cancels(handle):
            return False
        if not is_last_try(self._ti) and goes_on(self._ti):
            self.log.info(
                "The worker ends and the task does not: job %s goes on, the next try follows it", handle.job_id
            )
            return False
        hook = self._hook or KineticHook.of(handle, self.kinetic_conn_id)
        hook.cancel(handle, by="the task was killed")
        self.log.info("Job %s cancelled", handle.job_id)
        return True

    def _defer(self, context: Context, handle: JobHandle, pending: Pending | None = None) -> None:
        from airflow_provider_kinetic.hooks.settings import load_settings
        from airflow_provider_kinetic.triggers.job import KineticJobTrigger

        settings = load_settings()
        timeout = self._timeout(context)
        self.defer(
            trigger=KineticJobTrigger(
                job=handle.to_dict(),
                kinetic_conn_id=self.kinetic_conn_id,
                poll=self._poll(),
                fire_after=time.time() + settings.min_dwell,
                timeout=[timeout.seconds, timeout.at] if timeout else None,
                cancel_on_kill=self.cancels(handle),
                lines_per_second=settings.log_lines_per_second,
                log_requests_per_second=settings.log_requests_per_second,
                calm_heap_at=settings.calm_heap_at,
                create=pending.order if pending else None,
                build=pending.build.to_dict() if pending else None,
            ),
            method_name="execute_complete",
        )

    def _conclude(self, context: Context, handle: JobHandle, outcome: Outcome) -> Any:
        from airflow_provider_kinetic.lifecycle.effects import EXECUTION_TIMEOUT
        from airflow_provider_kinetic.operators.training import tell

        self._followed, self._concluded = None, handle  # nothing is left to take down
        hook = KineticHook.of(handle, self.kinetic_conn_id)
        self._drain(hook, handle, outcome.cursor)
        over = outcome.timeout != EXECUTION_TIMEOUT or self.cancels(handle)
        try:
            value = self._ended(context, hook, handle, outcome, cancelled=over)
        except Exception as error:
            tell(self, context, hook, handle, error, over)
            raise
        tell(self, context, hook, handle, None)
        return value

    def _ended(
        self, context: Context, hook: KineticHook, handle: JobHandle, outcome: Outcome, *, cancelled: bool
    ) -> Any:
        from airflow_provider_kinetic.model.diagnosis import timed_out
        from airflow_provider_kinetic.model.status import JobState

        if outcome.timeout:
            self.timed_out(context, handle, outcome.status)
            raise timed_out(handle, outcome.timeout, outcome.limit, cancelled=cancelled, status=outcome.status)
        gone = outcome.status.state is JobState.NOT_FOUND  # perhaps somebody has cleaned up and kept how it ended
        status = hook.status(handle).knowing(outcome.status.objects) if gone else outcome.status
        return self.finish(context, handle, status)

    def _drain(self, hook: KineticHook, handle: JobHandle, cursor: str) -> None:
        """Show what was printed after the last look."""
        from airflow_provider_kinetic.lifecycle.logs import output_after

        shown = 0
        for _, text in output_after(hook.ports, handle, cursor, DRAIN_CHUNKS, last=True):
            self._show(text)
            shown += 1
        if shown == DRAIN_CHUNKS:
            self.log.info("The log goes on in %s", handle.logs)

    def _show(self, text: str) -> None:
        for line in text.splitlines():
            self.log.info("%s", line)
