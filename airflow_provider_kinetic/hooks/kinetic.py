"""The whole of Kinetic behind one connection: submit, attach, list, status, logs, result, cancel, clean up.

Operators, triggers, the CLI and users' own tasks all come through here. The hook resolves the
connection and opens the ports; the work itself is done by :mod:`airflow_provider_kinetic.lifecycle`,
which knows nothing of Airflow.

DAG files import this module with every operator; what it works with is imported when it works.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_kinetic.model.errors import JobNotFound

if TYPE_CHECKING:
    from airflow_provider_kinetic.clusters.base import JobSummary
    from airflow_provider_kinetic.lifecycle.cleanup import Halves
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.lifecycle.submission import Journal
    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.spec import TaskIdentity
    from airflow_provider_kinetic.model.status import JobStatus
    from airflow_provider_kinetic.model.target import Target

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")  # ids come from people and templates, and go into a path

DEFAULT_CONN_ID = "kinetic_default"


class KineticHook(BaseHook):
    """One connection of type ``kinetic``.

    :param kinetic_conn_id: the connection.
    :param overrides: values of connection fields that a task gave (``cluster``, …); None means not given.
    """

    conn_name_attr = "kinetic_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "kinetic"
    hook_name = "Kinetic"

    def __init__(
        self, kinetic_conn_id: str = DEFAULT_CONN_ID, *, overrides: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.kinetic_conn_id = kinetic_conn_id
        self.overrides = dict(overrides or {})

    @cached_property
    def target(self) -> Target:
        """Where this connection runs jobs.

        :raises ConnectionError_: the connection is missing or incomplete.
        """
        from airflow_provider_kinetic.hooks.connection import resolve_target

        return resolve_target(self.kinetic_conn_id, self.overrides)

    @classmethod
    def of(cls, handle: JobHandle, kinetic_conn_id: str | None = None) -> KineticHook:
        """The hook through which an existing job is reached: where it is says the handle, not the connection of today.

        Only credentials and the address of the API server come from the connection, which is not even read for jobs
        of this machine.

        :raises ConfigurationError: the connection is not one of the place where the job is.
        """
        from airflow_provider_kinetic.hooks.reach import target_of_handle

        hook = cls(kinetic_conn_id or handle.kinetic_conn_id or DEFAULT_CONN_ID)
        hook.target = target_of_handle(handle, hook.kinetic_conn_id)
        return hook

    @cached_property
    def ports(self) -> Ports:
        from airflow_provider_kinetic.hooks.platforms import open_ports

        return open_ports(self.target)

    def get_conn(self) -> Ports:
        return self.ports

    def submit(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        secrets: Mapping[str, str] | None = None,
        output_dir: str | None = None,
        trial: str | None = None,
        experiment: str | None = None,
        resume: str = "auto",
        restore_from: Any = None,
        on_mismatch: str | None = None,
        identity: TaskIdentity | None = None,
        journal: Journal | None = None,
        max_tries: int = 0,
        **spec: Any,
    ) -> JobHandle:
        """Submit a function as a job and go on: ``hook.submit(train, (3,), accelerator="l4", container_image="…")``.

        Where the arguments hold ``Data`` the function gets paths, as it does in a task.

        :param secrets: variables that no payload, listing or log shows.
        :param trial: a name under which calls share a directory and go on in it. This, ``experiment``, ``resume``,
            ``restore_from`` and ``on_mismatch`` are the operator's. Trials of nobody's jobs on a cluster lie apart from
            those of tasks: share one with a task by ``output_dir``.
        :param identity: the task instance that the job belongs to. None: it belongs to nobody, and no gc ends it.
        :param journal: memory that outlives this process, with which a second call finds the job of the first. None:
            every call submits another job.
        :param max_tries: the task instance's, where there is one.
        :param spec: fields of :class:`airflow_provider_kinetic.model.spec.JobSpec`.
        :raises ConfigurationError: bad input; nothing was sent.
        """
        from airflow_provider_kinetic.hooks import direct
        from airflow_provider_kinetic.model.resume import asked

        asks = asked(
            trial=trial, experiment=experiment, resume=resume, restore_from=restore_from, on_mismatch=on_mismatch
        )
        order = direct.Order(function, args, kwargs, spec, secrets, output_dir, identity, max_tries, asks)
        return direct.submit(self.ports, self.target, order, journal, lambda line: self.log.info("%s", line))

    def attach(self, job_id: str) -> JobHandle:
        """The handle of a job, also of one that upstream's client submitted or that was cleaned up.

        :raises JobNotFound: no job of that id is known here.
        :raises ArtifactCorrupt: what lies there is not the handle of that job.
        """
        from airflow_provider_kinetic.job import protocol
        from airflow_provider_kinetic.job.storage import ObjectMissing
        from airflow_provider_kinetic.model.handle import JobHandle

        if _JOB_ID.fullmatch(job_id):
            for uri in (f"{self.target.store_root}/{job_id}/{protocol.HANDLE}", self._kept_handle(job_id)):
                try:
                    if uri:
                        return JobHandle.found(self.ports.store.read(uri), job_id, uri)
                except ObjectMissing:
                    continue
        raise JobNotFound(
            f"There is no job {job_id!r} in {self.target.store_root}.",
            advice=f"`airflow kinetic jobs list --conn-id {self.kinetic_conn_id}` shows the jobs of this connection. "
            "A job that upstream's client has collected is gone with its result.",
        )

    def _kept_handle(self, job_id: str) -> str | None:
        from airflow_provider_kinetic.job import protocol
        from airflow_provider_kinetic.job.layout import TrialLayout
        from airflow_provider_kinetic.job.storage import ObjectMissing
        from airflow_provider_kinetic.lifecycle.cleanup import index_uri

        try:
            pointer = json.loads(self.ports.store.read(index_uri(self.target.output_root, job_id)))
            return TrialLayout(pointer["output_dir"]).kept(job_id, protocol.HANDLE)
        except (ObjectMissing, ValueError, KeyError):
            return None

    def list(self) -> list[JobSummary]:
        """Live jobs of the connection's cluster and namespace, newest first."""
        return self.ports.cluster.list()

    def status(self, handle: JobHandle) -> JobStatus:
        """The job's state: the live one, else the one that was kept at its clean-up."""
        from airflow_provider_kinetic.lifecycle.cleanup import kept_status
        from airflow_provider_kinetic.model.status import JobState

        status = self.ports.cluster.status(handle)
        if status.state is not JobState.NOT_FOUND:
            return status
        return kept_status(self.ports.store, handle) or status

    def logs(self, handle: JobHandle, tail: int | None = None) -> str:
        """What the job printed, or its last ``tail`` lines."""
        from airflow_provider_kinetic.lifecycle import logs

        if tail is not None:
            return logs.last_output(self.ports, handle, tail)
        return logs.whole_log(self.ports, handle)

    def result(self, handle: JobHandle, *, trust_bucket: bool | None = None) -> Any:
        """The function's value; raises what ``lifecycle.collect.collect`` raises."""
        from airflow_provider_kinetic.lifecycle.collect import collect

        return collect(self.ports, handle, self.status(handle), trust_bucket=trust_bucket)

    def cancel(self, handle: JobHandle, *, by: str, wait: float = 0.0) -> bool:
        """Stop the job; its artifacts stay. True when its machine has ended within ``wait`` seconds."""
        from airflow_provider_kinetic.lifecycle import cleanup

        return cleanup.cancel(self.ports, handle, by=by, wait=wait)

    def disown(self, handle: JobHandle, *, by: str) -> None:
        """Nobody wants the job's result any more: the next try of its task submits another one."""
        from airflow_provider_kinetic.lifecycle import cleanup

        cleanup.disown(self.ports.store, handle, by=by)

    def cleanup(
        self,
        handle: JobHandle,
        *,
        by: str,
        halves: Halves | None = None,
        known: JobStatus | None = None,
        force: bool = True,
    ) -> JobStatus:
        """Remove the job's object and artifacts; its outputs and its result stay. Idempotent.

        :raises ConfigurationError: the job runs and ``force`` is false.
        """
        from airflow_provider_kinetic.lifecycle import cleanup

        return cleanup.clean(self.ports, handle, by=by, halves=halves or cleanup.Halves(), known=known, force=force)

    def test_connection(self) -> tuple[bool, str]:
        """For the Test button: which check failed, and what to do."""
        from airflow_provider_kinetic.hooks.checks import check_target, summary
        from airflow_provider_kinetic.model.errors import KineticError

        try:
            return summary(check_target(self.ports, self.target))
        except KineticError as error:
            return False, str(error)


def load_result(reference: Mapping[str, Any], *, kinetic_conn_id: str = DEFAULT_CONN_ID) -> Any:
    """The value behind the reference that a Kinetic task pushed instead of a large or special value.

    :param reference: the task's XCom, ``{"uri", "type", "size", "sha256"}``.
    :raises ArtifactCorrupt: the object is not the one that the job wrote.
    :raises ResultUnreadable: the value's type cannot be imported here, or this is no reference.
    """
    from airflow_provider_kinetic.lifecycle.collect import Reference, load

    return load(KineticHook(kinetic_conn_id).ports.store, Reference.from_dict(reference))
