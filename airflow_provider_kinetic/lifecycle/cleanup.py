"""Cancelling and cleaning up: idempotent, and in an order in which nothing is ever lost.

Anybody may delete ``{store root}/{job id}/`` blindly (``contract`` M11), we do it too. Before that, what
must outlive it is copied beside the outputs: the result, the handle and the final status with the
digests. A pointer under the output root lets a job id be found after its clean-up.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.lifecycle.logs import last_output
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.diagnosis import TAIL_LINES
from airflow_provider_kinetic.model.errors import ConfigurationError, KineticError, StoreError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason
from airflow_provider_kinetic.stores.base import Store

MARGIN = 15.0
"""Seconds beyond its grace period that a machine gets to end."""

HEAD_START = 1.0
"""Seconds that the store gets to take the mark of a cancellation before the job is deleted."""

STATUS = "status.json"
"""Beside the kept result: the final status of the job, with its last output where it did not end well."""

LONGEST_OUTPUT = 16 * 1024
"""Characters of the output that are kept with it."""


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def index_uri(output_root: str, job_id: str) -> str:
    """Where the output directory of a job is written down."""
    return f"{output_root.rstrip('/')}/.kinetic/jobs/{job_id}.json"


def remember(store: Store, handle: JobHandle) -> None:
    """Keep the handle beside the outputs, and a pointer to it: anybody may delete the artifacts of a running job."""
    if (kept := handle.kept(protocol.HANDLE)) is not None:
        store.write(kept, handle.to_json())
        point_to(store, handle)


def point_to(store: Store, handle: JobHandle) -> None:
    """Write down where the outputs of the job are."""
    if handle.output_dir is not None and handle.output_root is not None:
        pointer = {"v": 1, "output_dir": handle.output_dir}
        store.write(index_uri(handle.output_root, handle.job_id), json.dumps(pointer).encode())


def cancel(ports: Ports, handle: JobHandle, *, by: str, wait: float = 0.0) -> bool:
    """Stop the job and remove its object; artifacts stay. True when its machine has ended within ``wait`` seconds.

    A mark is left first, so that a later try knows that the job did not fail but was stopped. A store that does not
    take it keeps no job alive: whoever is killed has seconds, and a store that fails is asked for minutes.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="kinetic-mark") as pool:
        marking = pool.submit(_leave_marks, ports.store, handle, by)
        wait_for([marking], timeout=HEAD_START)
        gone = ports.cluster.delete(handle, wait=wait)
        marking.result()
    return gone


def _leave_marks(store: Store, handle: JobHandle, by: str) -> None:
    with suppress(StoreError):
        store.write(handle.artifact(protocol.CANCELLED), _mark(by))
    with suppress(StoreError):
        disown(store, handle, by=by)


def ended(status: JobStatus, by: str) -> JobStatus:
    """What is kept of a job that did not end by itself; any other status as it is."""
    if status.state.terminal:
        return status
    before = ": ".join(filter(None, (status.state.value.lower(), status.message)))
    message = f"Cancelled by {by}; it was {before}"
    return replace(status, state=JobState.NOT_FOUND, reason=Reason.CANCELLED, message=message, stopping=False)


def disown(store: Store, handle: JobHandle, *, by: str) -> None:
    """Mark the job as unwanted where no clean-up takes the mark away: the next try submits another one."""
    if (uri := handle.kept(protocol.CANCELLED)) is not None:
        store.write(uri, _mark(by))


def _mark(by: str) -> bytes:
    return json.dumps({"v": 1, "by": by, "at": now()}).encode()


def mark_of(store: Store, handle: JobHandle) -> dict[str, Any] | None:
    """Who cancelled the job and when, ``{"by", "at"}``; None where nobody did."""
    for uri in (handle.artifact(protocol.CANCELLED), handle.kept(protocol.CANCELLED)):
        with suppress(ObjectMissing, ValueError):
            if uri is not None:
                return dict(json.loads(store.read(uri)))
    return None


def preserve(ports: Ports, handle: JobHandle, status: JobStatus) -> None:
    """Copy what must outlive the job beside its outputs; the status goes last and says that all is there. Idempotent.

    A status that tells how the job ended replaces one that only tells that it is gone, never the other way round.
    """
    kept = kept_status(ports.store, handle)
    if handle.output_dir is None or (kept is not None and kept.state is not JobState.NOT_FOUND):
        return
    remember(ports.store, handle)
    for name in (protocol.HANDLE, protocol.RESULT, protocol.RESULT_JSON):
        with suppress(ObjectMissing):
            ports.store.copy(handle.artifact(name), str(handle.kept(name)))
    if kept is None or status.state is not JobState.NOT_FOUND:
        _write_status(ports, handle, status)


def _write_status(ports: Ports, handle: JobHandle, status: JobStatus) -> None:
    """With the last output, where it may be needed to understand the end."""
    output = "" if status.state is JobState.SUCCEEDED else last_words(ports, handle)
    record = {**status.to_dict(), "output": output}
    ports.store.write(str(handle.kept(STATUS)), json.dumps(record).encode())


def last_words(ports: Ports, handle: JobHandle) -> str:
    """What the job printed last, as far as anybody still knows it; never an error."""
    with suppress(KineticError, ObjectMissing):
        if output := last_output(ports, handle, TAIL_LINES):
            return output[-LONGEST_OUTPUT:]
    with suppress(KineticError):
        return str(_kept_record(ports.store, handle).get("output", ""))
    return ""


def kept_status(store: Store, handle: JobHandle) -> JobStatus | None:
    """The final status as it was kept, or None.

    In a bucket it is a note that anybody who writes there may change: good for state and message, not for the digests
    by which a result is trusted (``design`` 3.9).
    """
    try:
        status = JobStatus.from_dict(_kept_record(store, handle))
    except (ValueError, KeyError, TypeError):
        return None
    return status if handle.on_this_machine else replace(status, objects={})


def _kept_record(store: Store, handle: JobHandle) -> dict[str, Any]:
    """Empty where there is none."""
    with suppress(ObjectMissing, ValueError):
        uri = handle.kept(STATUS)
        found = json.loads(store.read(uri)) if uri is not None else {}
        return found if isinstance(found, dict) else {}
    return {}


@dataclass(frozen=True)
class Halves:
    """Which half of a job to clean: its object on the cluster, its artifacts in the store."""

    k8s: bool = True
    artifacts: bool = True


def clean(
    ports: Ports,
    handle: JobHandle,
    *,
    by: str,
    halves: Halves = Halves(),
    known: JobStatus | None = None,
    force: bool = True,
    wait: float = 0.0,
) -> JobStatus:
    """Remove the job's object and artifacts; outputs and what is kept beside them stay. Idempotent.

    :param known: the final status as an observer saw it, with the digests of the results.
    :param force: cancel a job that still runs, whichever halves were asked for, and wait for its machine to end:
        what it writes in its last seconds would otherwise come back after the clean-up.
    :param wait: longest time in seconds to wait for that; 0: its grace period and some more.
    :returns: the status before anything was removed.
    :raises ConfigurationError: the job still runs and ``force`` is false.
    """
    status = ports.cluster.status(handle)
    running = not status.state.terminal
    if running and not force:
        raise ConfigurationError(
            f"Job {handle.job_id} is {status.state.value}: cleaning up would cancel it.",
            advice="Wait for its end, or pass `--force` to cancel and clean it.",
        )
    final = ended(status if running else known or status, by)
    if running:
        with suppress(KineticError):
            preserve(ports, handle, final)  # a machine that is gone says nothing any more
        cancel(ports, handle, by=by, wait=wait or handle.stop_grace + MARGIN)
    if halves.k8s or halves.artifacts:
        preserve(ports, handle, final)
    if halves.k8s:
        ports.cluster.delete(handle, wait=wait)
    if halves.artifacts:
        ports.store.delete_prefix(handle.prefix)
    return status
