"""A folder of a bucket that a job sees as a folder of its machine, read-only and without a download.

Cloud Storage FUSE does it, through GKE's CSI driver (``contract`` 3.3, 11.4). ``volumes=`` and arguments of the kind
``Data`` become mounts; how one is written into a pod is :mod:`airflow_provider_kinetic.model.kubernetes.fuse`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_kinetic.model.errors import ConfigurationError


@dataclass(frozen=True)
class FuseMount:
    """What is seen where.

    :raises ConfigurationError: ``path`` is not absolute, or ``uri`` names no bucket.
    """

    path: str
    """Absolute path in the job."""
    uri: str
    """``gs://bucket``, ``gs://bucket/folder`` or ``gs://bucket/folder/object``."""
    is_dir: bool = True
    """False: ``uri`` is a single object, and the folder that it lies in is mounted."""

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ConfigurationError(
                f"`volumes`: {self.path!r} is no absolute path.", advice="Mount at a path like '/data'."
            )
        if not self.uri.startswith("gs://") or not self.bucket:
            raise ConfigurationError(
                f"`volumes`: {self.uri!r} cannot be mounted at {self.path}; only folders of a bucket can.",
                advice="Name it as gs://bucket/folder/, or leave `fuse` out to have it downloaded.",
            )

    @property
    def bucket(self) -> str:
        return self.uri.removeprefix("gs://").partition("/")[0]

    @property
    def folder(self) -> str:
        """The part of the bucket that is seen, without final slash; empty for all of it."""
        name = self.uri.removeprefix("gs://").partition("/")[2]
        return name.strip("/") if self.is_dir else name.rpartition("/")[0].strip("/")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> FuseMount:
        return cls(**raw)
