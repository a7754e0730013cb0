"""The handle of a job: all that is needed to observe, collect and clean it up.

It is upstream's ``handle.json`` (``contract`` 5.2) with keys of our own beside it; upstream's readers
drop what they do not know, and we read handles in which our keys are missing. It travels whole:
operator, trigger, resume, CLI and page all hold this one value, and after the submit nothing is
looked up in the connection again but credentials.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.model import names
from airflow_provider_kinetic.model.errors import ArtifactCorrupt, ConfigurationError
from airflow_provider_kinetic.model.mounts import FuseMount


@dataclass(frozen=True)
class JobHandle:
    """One submitted job. Times are in seconds, URIs have no final slash."""

    # Upstream's thirteen (contract 5.2).
    job_id: str
    backend: str
    project: str
    cluster_name: str
    zone: str
    namespace: str
    bucket_name: str
    k8s_name: str
    image_uri: str
    accelerator: str
    func_name: str
    display_name: str
    created_at: str
    """UTC, ``YYYY-MM-DDTHH:MM:SSZ``."""

    # Upstream's optional ones.
    group_id: str | None = None
    group_kind: str | None = None
    group_index: int | None = None
    debug: bool = False

    # Ours. None where upstream's client submitted the job.
    platform: str | None = None
    kinetic_conn_id: str | None = None
    store_root: str | None = None
    """``gs://{bucket}``, or ``file:///…`` on the local platform."""
    cluster_uri: str | None = None
    """Which cluster runs it: ``file:///…`` on the local platform."""
    output_root: str | None = None
    output_dir: str | None = None
    payload_sha256: str | None = None
    context_sha256: str | None = None
    runner_sha256: str | None = None
    requirements_sha256: str | None = None
    """None also where the job installs nothing when it starts."""
    spec_sha256: str | None = None
    """Digest of what was asked for: an adopting task compares it with its own."""
    result_format: str = "pickle"
    startup_timeout: float | None = None
    run_timeout: float | None = None
    stop_grace: float = 30.0
    max_preemptions: int | None = None
    fuse_mounts: tuple[FuseMount, ...] = ()
    """What its machine mounts. Here, because data that was uploaded is known by a hash that only the submitter made."""
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    installation: str | None = None

    @property
    def root(self) -> str:
        return self.store_root or f"gs://{self.bucket_name}"

    @property
    def prefix(self) -> str:
        """Prefix, with final slash, of everything that belongs to this job alone (contract M11)."""
        return f"{self.root}/{self.job_id}/"

    def artifact(self, name: str) -> str:
        """URI of one of the objects named in ``job.protocol``."""
        return f"{self.prefix}{name}"

    def kept(self, name: str) -> str | None:
        """URI of the copy that outlives the clean-up; None where the job has no output directory of ours."""
        return TrialLayout(self.output_dir).kept(self.job_id, name) if self.output_dir else None

    @property
    def result_name(self) -> str:
        return protocol.RESULT_JSON if self.result_format == "json" else protocol.RESULT

    @property
    def result_uri(self) -> str:
        """Where the result is found for as long as the output directory exists."""
        return self.kept(self.result_name) or self.artifact(self.result_name)

    @property
    def logs(self) -> str | None:
        """Prefix of the log chunks."""
        return TrialLayout(self.output_dir).logs(self.job_id) if self.output_dir else None

    @property
    def ours(self) -> bool:
        """Submitted by this provider, not by upstream's client."""
        return self.platform is not None

    @property
    def on_this_machine(self) -> bool:
        """A job of the local platform: nobody else writes where its objects lie."""
        return self.platform == "local" and self.root.startswith("file://")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON without empty keys: XCom, trigger arguments and ``handle.json`` alike."""
        plain = {**asdict(self), "fuse_mounts": [mount.to_dict() for mount in self.fuse_mounts] or None}
        return {key: value for key, value in plain.items() if value is not None}

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict(), sort_keys=True).encode()

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> JobHandle:
        """Read a handle of either client.

        :raises ArtifactCorrupt: a mandatory key is missing.
        """
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        try:
            known["fuse_mounts"] = tuple(FuseMount.from_dict(mount) for mount in raw.get("fuse_mounts", ()))
            return cls(**known)
        except (TypeError, ConfigurationError) as missing:
            raise ArtifactCorrupt(
                f"This is not the handle of a Kinetic job: {missing}.",
                advice="Pass the `kinetic_job` XCom of the submitting task, or a job id.",
            ) from missing

    @classmethod
    def from_json(cls, raw: bytes) -> JobHandle:
        try:
            parsed = json.loads(raw)
        except ValueError as broken:
            raise ArtifactCorrupt("handle.json is not JSON.") from broken
        return cls.from_dict(parsed if isinstance(parsed, dict) else {})

    @classmethod
    def found(cls, raw: bytes, job_id: str, uri: str) -> JobHandle:
        """The handle of the job ``job_id`` as it lies at ``uri``.

        The code of every job may write to the bucket, so a handle from there must not lead to another job's object,
        to folders of this machine, or to a result that is opened because upstream's client is said to have made it.

        :raises ArtifactCorrupt: it is not one that either client has written for this job.
        """
        handle = cls.from_json(raw)
        elsewhere = handle.platform == "local" and not uri.startswith("file://")
        disguised = not handle.ours and names.is_ours(job_id)
        if handle.job_id != job_id or handle.k8s_name not in names.object_names(job_id) or elsewhere or disguised:
            raise ArtifactCorrupt(
                f"{uri} is not the handle of job {job_id} as it was submitted: somebody replaced it.",
                advice="Find out who can write there. A task that is cleared submits under a new id.",
            )
        return handle
