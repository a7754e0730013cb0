"""Submitting: from a function to a running job, exactly once.

The order is the protection. The record goes first, so that the id is known before the first call.
The parcel is made next, so that bad input costs nothing. Then payload, context and runner are stored
create-only: whoever comes second under the same id finds what a machine may already have verified and
takes over its digests. The handle is stored before the job is created (``contract`` M2), and creating
twice is a conflict that is answered by adopting.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing
from airflow_provider_kinetic.lifecycle import cleanup, trial
from airflow_provider_kinetic.lifecycle.manifest import annotations_of, manifest_of
from airflow_provider_kinetic.lifecycle.parcel import Parcel, pack
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.submission import Found, Journal, Step, SubmissionRecord, decide
from airflow_provider_kinetic.lifecycle.work import Work, output_directory
from airflow_provider_kinetic.model import accelerators, names
from airflow_provider_kinetic.model.errors import JobConflict
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.images import Image
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.status import JobState, JobStatus
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.packaging.artifact import Artifact
from airflow_provider_kinetic.packaging.runner_bundle import RunnerBundle

Say = Callable[[str], None]

WAIT_FOR_OLD_JOB = 30.0
"""Seconds beyond its grace period that a new submission waits for the old machine to end (design 3.10)."""


@dataclass(frozen=True)
class Submitted:
    """The job that this try is about. ``status`` is set when the job is over already (its result waits)."""

    handle: JobHandle
    step: Step
    status: JobStatus | None = None


def ensure(
    ports: Ports,
    target: Target,
    work: Work,
    journal: Journal,
    say: Say,
    *,
    reach: Callable[[JobHandle], Ports] | None = None,
) -> Submitted:
    """Make sure that the job of this task instance exists, and say which one it is.

    :param reach: opens the ports of an earlier try's job: it is where it was submitted to, not where ``target``, which
        may have been changed since, is today. None: there are only ``ports``.
    :raises ConfigurationError: bad input; nothing was sent.
    :raises JobConflict: the id belongs to somebody else.
    """
    record = journal.load()
    if record is None:
        record = SubmissionRecord.first(max_tries=work.max_tries)
        return _submit(ports, target, work, journal, record, say)
    handle = find_handle(ports, target, record)
    theirs = ports if handle is None or reach is None else reach(handle)
    found = look(theirs, handle, record)
    step = decide(record, found, max_tries=work.max_tries)
    if handle is not None and step is Step.ADOPT:
        _check_identity(theirs, handle, work, target, say)
        say(f"Job {handle.job_id} of an earlier try is {found.status.state.value.lower()}: following it.")
        return Submitted(handle, step)
    if handle is not None and step is Step.COLLECT:
        say(f"Job {handle.job_id} of an earlier try has ended: collecting its result.")
        return Submitted(handle, step, found.status)
    if step is Step.REPLACE:
        if handle is not None:
            retire(theirs, handle, found.status, say)
        record = replace(record.next(max_tries=work.max_tries), output_dir="")
    return _submit(ports, target, work, journal, record, say)


def find_handle(ports: Ports, target: Target, record: SubmissionRecord) -> JobHandle | None:
    """The handle of the recorded job: under its artifacts, else beside its outputs, else None (never submitted)."""
    candidates = [f"{target.store_root}/{record.job_id}/{protocol.HANDLE}"]
    if record.output_dir:
        candidates.append(TrialLayout(record.output_dir).kept(record.job_id, protocol.HANDLE))
    for uri in candidates:
        try:
            return JobHandle.from_json(ports.store.read(uri))
        except ObjectMissing:
            continue
    return None


def look(ports: Ports, handle: JobHandle | None, record: SubmissionRecord) -> Found:
    """Everything that decides about the recorded job."""
    if handle is None:
        return Found(JobStatus(JobState.NOT_FOUND), started=_started(ports, record))
    status = ports.cluster.status(handle)
    kept = cleanup.kept_status(ports.store, handle) if status.state is JobState.NOT_FOUND else None
    uris = [handle.artifact(handle.result_name), handle.kept(handle.result_name)]
    stored = any(uri is not None and ports.store.stat(uri) is not None for uri in uris)
    return Found(
        status=kept or status,
        result=stored and not _failed(ports, record),
        started=_started(ports, record),
        cancelled=cleanup.mark_of(ports.store, handle) is not None,
    )


def _started(ports: Ports, record: SubmissionRecord) -> bool:
    if not record.output_dir:
        return False
    return any(attempt.job_id == record.job_id for attempt in trial.attempts(ports.store, record.output_dir))


def _failed(ports: Ports, record: SubmissionRecord) -> bool:
    """The job's last attempt wrote down that it failed: its result object holds an exception, no value."""
    mine = [attempt for attempt in trial.attempts(ports.store, record.output_dir) if attempt.job_id == record.job_id]
    return bool(mine) and (mine[-1].end or {}).get("state") == trial.FAILED


def retire(ports: Ports, handle: JobHandle, status: JobStatus, say: Say) -> None:
    """End the old job of this task before the next one starts: two must not write to one directory."""
    if status.state.terminal:
        return
    say(f"Job {handle.job_id} of before the clear is {status.state.value.lower()}: cancelling it.")
    if not cleanup.cancel(ports, handle, by="clear", wait=handle.stop_grace + WAIT_FOR_OLD_JOB):
        say(f"The machine of job {handle.job_id} has not ended yet; submitting all the same.")


def _check_identity(ports: Ports, handle: JobHandle, work: Work, target: Target, say: Say) -> None:
    theirs = dict(ports.cluster.annotations(handle) or annotations_of(work, target))
    ours = annotations_of(work, target)
    spec_key = next(key for key in ours if key.endswith("/spec"))
    same_settings = theirs.pop(spec_key, "") == ours.pop(spec_key)
    if any(theirs.get(key) != value for key, value in ours.items()):
        raise JobConflict(
            f"Job {handle.job_id} exists and belongs to another task: {theirs}.",
            advice="Clear the task: it then submits under a new id.",
        )
    if not same_settings:
        say("Settings of the task were changed since its job was submitted: clear the task to have them take effect.")


def _submit(
    ports: Ports, target: Target, work: Work, journal: Journal, record: SubmissionRecord, say: Say
) -> Submitted:
    if not record.output_dir:
        record = output_directory(ports.store, target, work, record)
    journal.save(record)
    with tempfile.TemporaryDirectory(prefix="kinetic-submit-") as folder:
        parcel = pack(Path(folder), work, record, say, exclude=target.folders)
        image = resolve_image(ports, work.spec, say)
        handle = _store(ports, _handle_of(target, work, record, image, parcel), parcel, work)
    cleanup.remember(ports.store, handle)
    try:
        ports.cluster.create(manifest_of(target, work, handle, parcel.runner.sha256), secrets=work.secrets)
    except JobExists:
        _check_identity(ports, handle, work, target, say)
        return Submitted(handle, Step.ADOPT)
    say(f"Job {handle.job_id} submitted: {handle.func_name}() on {handle.accelerator}, outputs in {handle.output_dir}")
    return Submitted(handle, Step.SUBMIT)


def resolve_image(ports: Ports, spec: JobSpec, say: Say) -> Image:
    """The image that the job runs in: the named one, or the one that holds its requirements, built if need be."""
    if spec.container_image not in (None, "bundled"):
        return ports.builder.named(str(spec.container_image))
    category = accelerators.parse(spec.accelerator).category
    return ports.builder.ensure(ports.builder.request_for(category, spec.requirements or ""), log=say)


def _store(ports: Ports, handle: JobHandle, parcel: Parcel, work: Work) -> JobHandle:
    """Store the parcel and the handle, each create-only; the handle that is there in the end."""
    uploads: dict[str, Artifact | RunnerBundle] = {
        protocol.PAYLOAD: parcel.payload,
        protocol.CONTEXT: parcel.context,
        protocol.RUNNER: parcel.runner,
    }
    stored = {name: _store_once(ports, handle.artifact(name), item.path, item.sha256) for name, item in uploads.items()}
    handle = replace(
        handle,
        payload_sha256=stored[protocol.PAYLOAD],
        context_sha256=stored[protocol.CONTEXT],
        runner_sha256=stored[protocol.RUNNER],
    )
    uri = handle.artifact(protocol.HANDLE)
    try:
        ports.store.write(uri, handle.to_json(), if_absent=True)
    except ObjectExists:
        there = JobHandle.from_json(ports.store.read(uri))
        if (there.dag_id, there.task_id, there.run_id, there.map_index) != _identity(work.identity):
            raise JobConflict(
                f"The id {handle.job_id} belongs to task {there.task_id!r} of DAG {there.dag_id!r}.",
                advice="Clear the task: it then submits under a new id.",
            ) from None
        return there
    return handle


def _identity(identity: TaskIdentity) -> tuple[str, str, str, int]:
    return (identity.dag_id, identity.task_id, identity.run_id, identity.map_index)


def _store_once(ports: Ports, uri: str, path: Path, sha256: str) -> str:
    """Store a file unless an object is there; the SHA-256 of the object that is there in the end."""
    try:
        ports.store.upload(path, uri, if_absent=True)
    except ObjectExists:
        with tempfile.TemporaryDirectory(prefix="kinetic-compare-") as folder:
            there = Path(folder) / "object"
            ports.store.download(uri, there)
            return sha256_of(there)
    return sha256


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _handle_of(target: Target, work: Work, record: SubmissionRecord, image: Image, parcel: Parcel) -> JobHandle:
    spec, identity = work.spec, work.identity
    return JobHandle(
        job_id=record.job_id,
        backend="local" if target.platform == "local" else "gke",
        project=target.project,
        cluster_name=target.cluster,
        zone=target.zone,
        namespace=target.namespace,
        bucket_name=target.bucket_name,
        k8s_name=names.k8s_name(record.job_id),
        image_uri=image.uri,
        accelerator=spec.accelerator,
        func_name=spec.func_name,
        display_name=f"kinetic-{spec.func_name}-{record.job_id}",
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        platform=target.platform,
        kinetic_conn_id=target.kinetic_conn_id,
        store_root=target.store_root,
        cluster_uri=target.cluster_uri,
        output_root=target.output_root,
        output_dir=record.output_dir,
        payload_sha256=parcel.payload.sha256,
        context_sha256=parcel.context.sha256,
        spec_sha256=spec.digest(),
        result_format=spec.result_format,
        startup_timeout=spec.startup_timeout,
        run_timeout=spec.run_timeout,
        stop_grace=spec.stop_grace,
        max_preemptions=spec.max_preemptions,
        dag_id=identity.dag_id,
        task_id=identity.task_id,
        run_id=identity.run_id,
        map_index=identity.map_index,
        try_number=identity.try_number,
        installation=target.installation,
    )
