"""Bringing the function's value, or its exception, back.

A result is opened only after its SHA-256 was compared with the one that the runner reported through
the cluster: whoever can write to the bucket must not be able to run code on an Airflow worker. Where
no digest exists the policy ``trust_bucket`` decides (``design`` 3.9).

``result.pkl`` is upstream's pickled dict (``contract`` 5.5); ``result.json`` is ours and is never unpickled.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle import cleanup, trial
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.diagnosis import diagnose, last_lines
from airflow_provider_kinetic.model.errors import (
    ArtifactCorrupt,
    InfrastructureError,
    JobCancelled,
    KineticError,
    ResultGone,
    ResultUnreadable,
    UserCodeError,
)
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason
from airflow_provider_kinetic.stores.base import Store

_SETUP_ADVICE = (
    "The function was not called. The phase above says what to look at: the image, the payload or the bucket."
)
_SERIALIZATION_ADVICE = "Return plain values, or write the object under KINETIC_OUTPUT_DIR and return its path."


@dataclass(frozen=True)
class Reference:
    """A value that stays in the store: what XCom carries instead of it."""

    uri: str
    type: str = ""
    size: int | None = None
    sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"uri": self.uri, "type": self.type, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_dict(cls, raw: Any) -> Reference:
        """:raises ResultUnreadable: this is something else, perhaps the value itself."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("uri"), str):
            raise ResultUnreadable(
                f"A {type(raw).__name__} is no reference to the result of a Kinetic job.",
                advice="Small values of JSON's own types come through XCom as they are: there is nothing to load.",
            )
        return cls(uri=raw["uri"], type=raw.get("type") or "", size=raw.get("size"), sha256=raw.get("sha256"))


def trusted(handle: JobHandle, trust_bucket: bool | None) -> bool:
    """Whether a result without a digest may be opened: asked for, upstream's job, or files of this machine."""
    if trust_bucket is not None:
        return trust_bucket
    return not handle.ours or handle.on_this_machine


def locate(store: Store, handle: JobHandle, name: str) -> str:
    """URI of the result object: the job's own, else the copy that was kept.

    :raises ObjectMissing: neither exists.
    """
    for uri in (handle.artifact(name), handle.kept(name)):
        if uri is not None and store.stat(uri) is not None:
            return uri
    raise ObjectMissing(handle.artifact(name))


def prove(ports: Ports, handle: JobHandle, status: JobStatus) -> str:
    """URI of the result object, without which no job has succeeded (``design`` 3.9); nothing is downloaded.

    :raises KineticError: there is none, and why.
    """
    try:
        return locate(ports.store, handle, handle.result_name)
    except ObjectMissing:
        raise without_result(ports, handle, status) from None


def reference(store: Store, handle: JobHandle, status: JobStatus) -> Reference:
    """The reference to the value; nothing is downloaded. Its URI is the one that outlives the clean-up."""
    entry = status.objects.get(handle.result_name, {})
    size = entry.get("size")
    if size is None and (info := store.stat(locate(store, handle, handle.result_name))) is not None:
        size = info.size
    return Reference(handle.result_uri, str(entry.get("type") or ""), size, entry.get("sha256"))


def collect(ports: Ports, handle: JobHandle, status: JobStatus, *, trust_bucket: bool | None = None) -> Any:
    """The function's value.

    :param status: the final status of the job, with the digests that the runner reported.
    :raises UserCodeError: the function raised; its exception is the cause.
    :raises InfrastructureError: the job ended without a result, or the result is not the one that was written.
    :raises ResultUnreadable: the value's type cannot be imported here.
    """
    expected = status.objects.get(handle.result_name, {}).get("sha256")
    uri = prove(ports, handle, status)
    if expected is None and not trusted(handle, trust_bucket):
        raise _unchecked(ports, handle, status, uri)
    try:
        payload = open_result(ports.store, uri, expected)
    except ResultUnreadable as unreadable:
        if status.state is JobState.FAILED and status.reason is Reason.USER_CODE:
            raise _raised_a_stranger(ports, handle) from unreadable
        raise
    if status.state is JobState.FAILED and status.reason not in (Reason.NONE, Reason.USER_CODE):
        raise diagnose(handle, status, cleanup.last_words(ports, handle))
    if not payload.get("success"):
        raise failure_of(handle, payload)
    if status.state is JobState.FAILED:
        raise diagnose(handle, status, cleanup.last_words(ports, handle))
    return payload.get("result")


def _unchecked(ports: Ports, handle: JobHandle, status: JobStatus, uri: str) -> KineticError:
    """Why nothing was opened; of a job that failed, how it did: there is no value to be had from it."""
    if status.state is not JobState.FAILED:
        return ArtifactCorrupt(
            f"Nobody knows the digest of the result of job {handle.job_id} any more, so it cannot be checked.",
            advice="To a collecting task, pass `status=` the XCom of the job's KineticJobSensor, which has it; or pass "
            "`trust_bucket=True` if only trusted people can write to the bucket.",
        )
    told = diagnose(handle, status, cleanup.last_words(ports, handle))
    if status.reason is not Reason.USER_CODE:
        return told
    return UserCodeError(
        told.summary,
        advice=f"What it raised lies in {uri} and was not opened, because nobody knows its digest any more. Pass "
        "`trust_bucket=True` if only trusted people can write to the bucket.",
    )


def _raised_a_stranger(ports: Ports, handle: JobHandle) -> UserCodeError:
    """The function raised something whose class is not known here, but the job has printed it."""
    return UserCodeError(
        f"{handle.func_name}() raised an exception in job {handle.job_id} that cannot be loaded on this machine."
        + last_lines(cleanup.last_words(ports, handle)),
        advice="Install the package that defines its class here to have it as the cause.",
    )


def load(store: Store, ref: Reference) -> Any:
    """The value behind a reference; verified when the reference has a digest."""
    payload = open_result(store, ref.uri, ref.sha256)
    if not payload.get("success"):
        raise ResultUnreadable(f"{ref.uri} holds a failure, not a value.")
    return payload.get("result")


def open_result(store: Store, uri: str, expected: str | None) -> dict[str, Any]:
    """Download, verify, and only then open a result object."""
    with tempfile.TemporaryDirectory(prefix="kinetic-result-") as folder:
        path = Path(folder) / "result"
        try:
            store.download(uri, path)
        except ObjectMissing:
            raise ResultUnreadable(
                f"{uri} does not exist any more.",
                advice="Run the task that made it again, or keep its output directory.",
            ) from None
        verify(path, uri, expected)
        payload = _parse(path, uri)
    if not isinstance(payload, dict):
        raise ArtifactCorrupt(f"{uri} is not the result of a Kinetic job.")
    return payload


def verify(path: Path, uri: str, expected: str | None) -> None:
    """:raises ArtifactCorrupt: the file's SHA-256 is another one than ``expected``."""
    if expected is None:
        return
    with path.open("rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != expected:
        raise ArtifactCorrupt(
            f"{uri} has SHA-256 {actual}, the job reported {expected}: somebody replaced it.",
            advice="It was not opened. Find out who can write to the bucket, then clear the task.",
        )


def _parse(path: Path, uri: str) -> Any:
    if uri.endswith(protocol.RESULT_JSON):
        return _parse_json(path)
    try:
        with path.open("rb") as stream:
            return pickle.load(stream)
    except Exception as cause:
        raise ResultUnreadable(
            f"The value in {uri} cannot be loaded on this machine: {type(cause).__name__}: {cause}.",
            advice="Install the package that defines its type here, return plain values, or load it in a job.",
        ) from cause


def _parse_json(path: Path) -> Any:
    """The payload, or None where the file holds none."""
    try:
        parsed = json.loads(path.read_bytes())
    except ValueError:
        return None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return {**parsed, **error, "exception": None} if isinstance(error, dict) else parsed


def failure_of(handle: JobHandle, payload: Mapping[str, Any]) -> KineticError:
    """The error of a failure payload, with the user's own exception as its cause where it could be brought back."""
    phase = str(payload.get("phase") or "execute")
    trace = str(payload.get("traceback") or "")
    exception = payload.get("exception")
    said = _said(exception, payload)
    if phase == "result serialization" and not trace:  # with a trace it is an exception that could not travel
        shown = str(payload.get("result_repr") or "")[:200]
        return ResultUnreadable(
            f"{handle.func_name}() ended, but {said} {shown}".rstrip(), advice=_SERIALIZATION_ADVICE
        )
    if phase not in ("execute", "result serialization"):
        return InfrastructureError(f"Job {handle.job_id} failed during {phase}: {said}", advice=_SETUP_ADVICE)
    if isinstance(own := payload.get("kinetic"), Mapping):  # an error of ours is told apart by whoever retries
        ours = KineticError.from_dict(own)
        ours.remote_traceback = trace
        return ours
    error = UserCodeError(
        f"{handle.func_name}() raised {said} in job {handle.job_id}.",
        advice="The traceback of the job is in the task log above.",
        remote_traceback=trace,
    )
    if isinstance(exception, BaseException):
        if trace and hasattr(exception, "add_note"):
            exception.add_note(f"Traceback in the job:\n{trace.rstrip()}")
        error.__cause__ = exception
    return error


def _said(exception: object, payload: Mapping[str, Any]) -> str:
    if isinstance(exception, BaseException):
        return f"{type(exception).__name__}: {exception}".rstrip(": ")
    return f"{payload.get('type', 'an error')}: {payload.get('message', '')}".rstrip(": ")


def without_result(ports: Ports, handle: JobHandle, status: JobStatus) -> KineticError:
    """The error of a job that is over and left no result object."""
    if status.reason is Reason.CANCELLED or cleanup.mark_of(ports.store, handle) is not None:
        return JobCancelled(f"Job {handle.job_id} was cancelled.", advice="Clear the task to run it again.")
    if status.state is not JobState.FAILED and (gone := _taken(ports.store, handle, status)) is not None:
        return gone
    return diagnose(handle, status, cleanup.last_words(ports, handle))


def _taken(store: Store, handle: JobHandle, status: JobStatus) -> ResultGone | None:
    """Why the result of a job that did not fail is not there; None where it never was, as far as anybody can tell."""
    if status.state is JobState.NOT_FOUND and not handle.ours:
        if store.stat(handle.artifact(protocol.HANDLE)) is not None:
            return None
        return ResultGone(
            f"Job {handle.job_id} was already collected or deleted, by its client or by hand; its result went with it.",
            advice="`result()` of Kinetic's own client deletes a job and its result: collect it here first, or there "
            "with `cleanup=False`.",
        )
    if status.state is JobState.SUCCEEDED or _completed(store, handle):
        return ResultGone(
            f"Job {handle.job_id} has ended well, and its result is not in the store: somebody deleted it, or the "
            "function ended its process itself.",
            advice="Clear the submitting task to run it again.",
        )
    return None


def _completed(store: Store, handle: JobHandle) -> bool:
    """The newest attempt of this job wrote down that it ended well."""
    if handle.output_dir is None:
        return False
    mine = [one for one in trial.attempts(store, handle.output_dir) if one.job_id == handle.job_id]
    return bool(mine) and mine[-1].completed
