"""Submitting: from a function to a running job, exactly once.

The order is the protection. The record goes first, so that the id is known before the first call.
The parcel and the order to the cluster are made and checked next, so that bad input costs nothing. Then data is
shipped, all objects are stored at once, and the job is created: three round trips when nobody was here before
(look-ups, uploads, create) and no data is needed. Creating twice is a conflict that is answered by adopting.

An image that is missing is built meanwhile. Its name is known before that, so a task that defers leaves everything
finished in the store, the order to the cluster included, and whoever waits for the build creates the job from there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from airflow_provider_kinetic.builders.base import ImageBuilder
from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle import cleanup, images, source, trial
from airflow_provider_kinetic.lifecycle.consignment import Consignment
from airflow_provider_kinetic.lifecycle.creation import leave_order
from airflow_provider_kinetic.lifecycle.directory import is_renamed, output_directory, reopened
from airflow_provider_kinetic.lifecycle.images import BLOCKING, Waiting
from airflow_provider_kinetic.lifecycle.inputs import Inputs
from airflow_provider_kinetic.lifecycle.manifest import annotations_of, check, manifest_of
from airflow_provider_kinetic.lifecycle.parcel import Parcel, pack, repack
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.submission import Found, Journal, Step, SubmissionRecord, decide
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model import accelerators, names
from airflow_provider_kinetic.model.errors import ArtifactCorrupt, JobConflict
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.images import Build, Image, ImageRequest
from airflow_provider_kinetic.model.spec import JobSpec
from airflow_provider_kinetic.model.status import JobState, JobStatus
from airflow_provider_kinetic.model.target import Target

Say = Callable[[str], None]

WAIT_FOR_OLD_JOB = 30.0
"""Seconds beyond its grace period that a new submission waits for the old machine to end (design 3.10)."""


@dataclass(frozen=True)
class Pending:
    """A job that is created when its image is built: the build, and the URI of the manifest to create it from."""

    build: Build
    order: str


@dataclass(frozen=True)
class Submitted:
    """The job that this try is about. ``status`` is set when the job is over already (its result waits)."""

    handle: JobHandle
    step: Step
    status: JobStatus | None = None
    pending: Pending | None = None
    """Somebody has to wait for the image and create the job."""


def ensure(
    ports: Ports,
    target: Target,
    work: Work,
    journal: Journal,
    say: Say,
    *,
    reach: Callable[[JobHandle], Ports] | None = None,
    waiting: Waiting = BLOCKING,
) -> Submitted:
    """Make sure that the job of this task instance exists, and say which one it is.

    :param reach: opens the ports of an earlier try's job: it is where it was submitted to, not where ``target``, which
        may have been changed since, is today. None: there are only ``ports``.
    :param waiting: what happens while an image is missing.
    :raises ConfigurationError: bad input; nothing was sent.
    :raises JobConflict: the id belongs to somebody else.
    """
    record = journal.load()
    if record is None:
        record = SubmissionRecord.first(max_tries=work.max_tries)
        return _submit(ports, target, work, journal, record, say, waiting)
    handle = find_handle(ports, target, record)
    theirs = ports if handle is None or reach is None else reach(handle)
    found = look(theirs, handle, record)
    step = decide(record, found, max_tries=work.max_tries)
    if step is Step.SUBMIT and is_renamed(record, target, work):
        step = Step.REPLACE  # what was sent under the old id says where its job would have worked
    if handle is not None and step is Step.ADOPT:
        _check_identity(theirs, handle, work, target, say)
        _complete(theirs, handle, work, target, found.status)
        say(f"Job {handle.job_id} of an earlier try is {found.status.state.value.lower()}: following it.")
        return Submitted(handle, step)
    if handle is not None and step is Step.COLLECT:
        say(f"Job {handle.job_id} of an earlier try has ended: collecting its result.")
        return Submitted(handle, step, found.status)
    if handle is not None:
        if step is Step.REPLACE and found.status.state is JobState.NOT_FOUND:
            cleanup.disown(theirs.store, handle, by="clear")  # a trigger may be about to create it
        retire(theirs, handle, found.status, say)
    if step is Step.REPLACE:
        record = reopened(record.next(max_tries=work.max_tries), target, work)
    return _submit(ports, target, work, journal, record, say, waiting)


def find_handle(ports: Ports, target: Target, record: SubmissionRecord) -> JobHandle | None:
    """The handle of the recorded job: under its artifacts, else beside its outputs, else None (never submitted).

    :raises ArtifactCorrupt: what lies there is not the handle of our own job.
    """
    candidates = [f"{target.store_root}/{record.job_id}/{protocol.HANDLE}"]
    if record.output_dir:
        candidates.append(TrialLayout(record.output_dir).kept(record.job_id, protocol.HANDLE))
    for uri in candidates:
        try:
            return _checked(JobHandle.found(ports.store.read(uri), record.job_id, uri), uri)
        except ObjectMissing:
            continue
    return None


def _checked(handle: JobHandle, uri: str) -> JobHandle:
    """Whoever writes to the bucket must not make our job look like one whose results are trusted as they are."""
    if not handle.ours or (handle.platform == "local") != uri.startswith("file://"):
        raise ArtifactCorrupt(
            f"{uri} is not the handle of job {handle.job_id} as it was submitted: somebody replaced it.",
            advice="Find out who can write there, then clear the task: it submits under a new id.",
        )
    return handle


def look(ports: Ports, handle: JobHandle | None, record: SubmissionRecord) -> Found:
    """Everything that decides about the recorded job."""
    if handle is None:
        return Found(JobStatus(JobState.NOT_FOUND), started=bool(_attempts(ports, record)))
    status = ports.cluster.status(handle)
    if status.state is JobState.NOT_FOUND:
        status = cleanup.kept_status(ports.store, handle) or status
    attempts = _attempts(ports, record)
    # An attempt that wrote down its failure has stored an exception and no value.
    failed = bool(attempts) and (attempts[-1].end or {}).get("state") == trial.FAILED
    uris = [handle.artifact(handle.result_name), handle.kept(handle.result_name)]
    return Found(
        status=status.knowing(record.objects),
        result=not failed and any(uri is not None and ports.store.stat(uri) is not None for uri in uris),
        started=bool(attempts),
        cancelled=cleanup.mark_of(ports.store, handle) is not None,
    )


def _attempts(ports: Ports, record: SubmissionRecord) -> list[trial.Attempt]:
    """Starts of the recorded job that its runner wrote down."""
    if not record.output_dir:
        return []
    return [one for one in trial.attempts(ports.store, record.output_dir) if one.job_id == record.job_id]


def retire(ports: Ports, handle: JobHandle, status: JobStatus, say: Say) -> None:
    """End the old job of this task before the next one starts: two must not write to one directory.

    Of a job that is gone too: ``kubectl delete`` takes the object away first, and its machine may run on.
    """
    wait = handle.stop_grace + WAIT_FOR_OLD_JOB
    if status.state is JobState.NOT_FOUND:
        ended = ports.cluster.delete(handle, wait=wait)
    elif status.state.terminal:
        return
    else:
        say(f"Job {handle.job_id} of before the clear is {status.state.value.lower()}: cancelling it.")
        ended = cleanup.cancel(ports, handle, by="clear", wait=wait)
    if not ended:
        say(f"The machine of job {handle.job_id} has not ended yet; submitting all the same.")


def _check_identity(ports: Ports, handle: JobHandle, work: Work, target: Target, say: Say) -> None:
    ours = annotations_of(work, target)
    said = ports.cluster.annotations(handle)
    theirs = dict(ours if said is None else said)  # None: it has just gone; without any it is a stranger's
    spec_key = next(key for key in ours if key.endswith("/spec"))
    same_settings = theirs.pop(spec_key, "") == ours.pop(spec_key)
    if any(theirs.get(key) != value for key, value in ours.items()):
        raise JobConflict(
            f"Job {handle.job_id} exists and belongs to another task: {theirs}.",
            advice="Clear the task: it then submits under a new id.",
        )
    if not same_settings:
        say("Settings of the task were changed since its job was submitted: clear the task to have them take effect.")


def _complete(ports: Ports, handle: JobHandle, work: Work, target: Target, status: JobStatus) -> None:
    """Give the job its secrets if its submitter died before it did: the machine waits for them (``design`` 3.14)."""
    if work.secrets and status.started_at is None:
        with suppress(JobExists):
            ports.cluster.create(manifest_of(target, work, handle), secrets=work.secrets)


def _submit(
    ports: Ports, target: Target, work: Work, journal: Journal, record: SubmissionRecord, say: Say, waiting: Waiting
) -> Submitted:
    inputs = Inputs(target, work, say)
    image, record = _look_ups(ports, target, work, record, say)
    journal.save(record)
    with tempfile.TemporaryDirectory(prefix="kinetic-submit-") as folder:
        parcel = pack(Path(folder), work, record, inputs.foreseen(), say, exclude=target.folders)
        handle = _handle_of(target, work, record, parcel)
        check(target, work, manifest_of(target, work, handle))
        wanted = image or _begin(ports, target, work.spec, waiting, say)
        if inputs.places:
            parcel = repack(parcel, work, record, inputs.ship(ports.store))
            handle = _handle_of(target, work, record, parcel)
        if isinstance(wanted, Build) and (work.secrets or not waiting.defers):  # no order in the store holds a secret
            wanted = images.finish(ports, target.store_root, wanted, waiting, say)
        handle = Consignment(ports.store, replace(handle, image_uri=wanted.uri), parcel).send()
    if isinstance(wanted, Build):
        order = leave_order(ports.store, handle, manifest_of(target, work, handle))
        say(f"Job {handle.job_id} starts as soon as its image is built; outputs in {handle.output_dir}")
        return Submitted(handle, Step.SUBMIT, pending=Pending(wanted, order))
    return _create(ports, target, work, handle, say)


def _look_ups(
    ports: Ports, target: Target, work: Work, record: SubmissionRecord, say: Say
) -> tuple[Image | None, SubmissionRecord]:
    image, directory, origin = together(
        partial(_find_image, ports.builder, work.spec),
        partial(output_directory, ports.store, target, work, record),
        partial(source.look, ports.store, target, work.resume.restore_from),
    )
    begins = directory.last is None and not directory.adopted
    if origin.trouble is not None and begins:
        raise origin.trouble
    for note in (*directory.notes, *(origin.notes if begins else ())):
        say(note)
    return image, replace(record, output_dir=directory.uri, generation=directory.generation)


def _create(ports: Ports, target: Target, work: Work, handle: JobHandle, say: Say) -> Submitted:
    try:
        ports.cluster.create(manifest_of(target, work, handle), secrets=work.secrets)
    except JobExists:
        _check_identity(ports, handle, work, target, say)
        return Submitted(handle, Step.ADOPT)
    say(f"Job {handle.job_id} submitted: {handle.func_name}() on {handle.accelerator}, outputs in {handle.output_dir}")
    return Submitted(handle, Step.SUBMIT)


def _begin(ports: Ports, target: Target, spec: JobSpec, waiting: Waiting, say: Say) -> Build:
    return images.begin(ports, target.store_root, _request(ports.builder, spec), waiting, say)


def _find_image(builder: ImageBuilder, spec: JobSpec) -> Image | None:
    """The image that the job runs in: the named one, or the one that holds its requirements; None: it must be built."""
    if spec.container_image == "prebuilt":
        return builder.prebuilt(accelerators.parse(spec.accelerator).category, spec.base_image_repo)
    if spec.container_image not in (None, "bundled"):
        return builder.named(str(spec.container_image))
    return builder.find(_request(builder, spec))


def _request(builder: ImageBuilder, spec: JobSpec) -> ImageRequest:
    return builder.request_for(accelerators.parse(spec.accelerator).category, spec.requirements or "")


def _handle_of(target: Target, work: Work, record: SubmissionRecord, parcel: Parcel) -> JobHandle:
    """Of a submission whose image is still to come."""
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
        image_uri="",
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
        runner_sha256=parcel.runner.sha256,
        requirements_sha256=parcel.requirements.sha256 if parcel.requirements else None,
        spec_sha256=spec.digest(),
        result_format=spec.result_format,
        startup_timeout=spec.startup_timeout,
        run_timeout=spec.run_timeout,
        stop_grace=spec.stop_grace,
        max_preemptions=spec.max_preemptions,
        fuse_mounts=parcel.mounts,
        dag_id=identity.dag_id,
        task_id=identity.task_id,
        run_id=identity.run_id,
        map_index=identity.map_index,
        try_number=identity.try_number,
        installation=target.installation,
    )
