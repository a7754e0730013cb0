"""A submission on its way to the store: its objects, sent at once, and one truth of what is there in the end.

Payload, context, runner and requirements are create-only: a machine may verify them already, so whoever comes second
under the same id takes what is there, with its digests. The handle tells those digests, therefore the first one stands,
corrected by whoever found that a part was not its own. Everybody corrects it to the same text, and all of it is there
before anybody creates the job (``contract`` M2).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import ObjectExists
from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.lifecycle.parcel import Parcel
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.model.errors import JobConflict
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.stores.base import Store

_DIGESTS = {
    protocol.PAYLOAD: "payload_sha256",
    protocol.CONTEXT: "context_sha256",
    protocol.RUNNER: "runner_sha256",
    protocol.REQUIREMENTS: "requirements_sha256",
}


@dataclass(frozen=True)
class Consignment:
    """What is sent, and where to. ``handle`` has the digests of ``parcel``."""

    store: Store
    handle: JobHandle
    parcel: Parcel

    def send(self) -> JobHandle:
        """Store everything; the handle that is there in the end.

        :raises JobConflict: the id belongs to another task.
        """
        uri, text = self.handle.artifact(protocol.HANDLE), self.handle.to_json()
        calls = [partial(self.store.upload, path, self.handle.artifact(name)) for name, path in self._parts.items()]
        calls.append(partial(self.store.write, uri, text))
        if (kept := self.handle.kept(protocol.HANDLE)) is not None:
            calls.append(partial(self.store.write, kept, text))
        point = partial(cleanup.point_to, self.store, self.handle)
        *ours, _ = together(*(partial(_create, call) for call in calls), point)
        if all(ours):
            return self.handle
        others = [name for name, mine in zip(self._parts, ours, strict=False) if not mine]
        return self._settle(
            others,
            self.handle if ours[len(self._parts)] else JobHandle.found(self.store.read(uri), self.handle.job_id, uri),
        )

    @property
    def _parts(self) -> dict[str, Path]:
        parts = {
            protocol.PAYLOAD: self.parcel.payload.path,
            protocol.CONTEXT: self.parcel.context.path,
            protocol.RUNNER: self.parcel.runner.path,
        }
        if self.parcel.requirements is not None:
            parts[protocol.REQUIREMENTS] = self.parcel.requirements.path
        return parts

    def _settle(self, others: Iterable[str], first: JobHandle) -> JobHandle:
        """Somebody else has sent some of it: correct the handle that came first."""
        self._check_owner(first)
        digests = {key: getattr(self.handle, key) for key in _DIGESTS.values()}
        digests |= {_DIGESTS[name]: self._digest(name) for name in others}
        # The payload refers to what is mounted, and it is ours unless somebody else's came first.
        mounts = first.fuse_mounts if protocol.PAYLOAD in others else self.handle.fuse_mounts
        # So is the image: a try whose image could not be built has left the name of that one.
        settled = replace(first, fuse_mounts=mounts, image_uri=self.handle.image_uri, **digests)
        if settled != first:
            self.store.write(settled.artifact(protocol.HANDLE), settled.to_json())
        cleanup.remember(self.store, settled)
        return settled

    def _check_owner(self, there: JobHandle) -> None:
        if _owner(there) != _owner(self.handle):
            raise JobConflict(
                f"The id {there.job_id} belongs to task {there.task_id!r} of DAG {there.dag_id!r}.",
                advice="Clear the task: it then submits under a new id.",
            )

    def _digest(self, name: str) -> str:
        with tempfile.TemporaryDirectory(prefix="kinetic-compare-") as folder:
            there = Path(folder) / name
            self.store.download(self.handle.artifact(name), there)
            with there.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()


def _create(write: Callable[..., None]) -> bool:
    """Whether the object that is there in the end is the one that was to be created."""
    try:
        write(if_absent=True)
    except ObjectExists:
        return False
    return True


def _owner(handle: JobHandle) -> tuple[str | None, str | None, str | None, int | None]:
    return (handle.dag_id, handle.task_id, handle.run_id, handle.map_index)
