"""Where a job runs and where its objects lie, after all precedence has been applied.

A target is resolved once, at submit (``design`` 4: operator argument > connection > ``KINETIC_*``
environment > provider configuration > default). What later steps need of it goes into the handle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.images import BuildOptions

Platform = Literal["gke", "kubernetes", "local"]


@dataclass(frozen=True)
class Target:
    """One place to run jobs."""

    platform: Platform
    kinetic_conn_id: str
    store_root: str
    """``gs://{bucket}`` or ``file:///…``; a job's objects lie under ``{store_root}/{job id}/``."""
    output_root: str
    cluster_uri: str
    environments_uri: str = ""
    """Where the local platform keeps its virtual environments."""
    project: str = "local"
    zone: str = "local"
    cluster: str = "local"
    namespace: str = "default"
    gcp_conn_id: str = ""
    """Airflow connection with Google credentials, for the bucket and a GKE cluster; empty on the local platform."""
    kubernetes_conn_id: str = ""
    """Airflow connection with the kubeconfig; empty but on ``kubernetes``."""
    endpoint: str = ""
    """How a GKE cluster is reached: ``public``, ``private``, ``dns``; empty: as the cluster says."""
    service_account: str | None = None
    queue: str | None = None
    max_parallel: int | None = None
    emulate_accelerators: bool = False
    build: BuildOptions = field(default_factory=BuildOptions)
    """How images are built that are missing."""
    base_image_repo: str | None = None
    """Repository of prebuilt images: ``{base_image_repo}/base-{category}:{prebuilt_tag}`` (contract 4.1)."""
    prebuilt_tag: str | None = None
    """None: the release of keras-kinetic that this provider is tested against."""
    installation: str = ""
    """Id of this Airflow installation: clean-up touches no other's jobs."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """What the local platform keeps on this machine, secrets of jobs among it: never a part of a project."""
        if self.platform != "local":
            return ()
        place = uri_to_path(self.store_root).parent
        named = (uri_to_path(uri) for uri in (self.store_root, self.output_root))
        return (*named, *(place / name for name in ("cluster", "clusters", "environments")))

    @property
    def cluster_folders(self) -> tuple[Path, ...]:
        """Folders of the clusters of this machine that share one place, this one's among them."""
        if self.platform != "local":
            return ()
        place = uri_to_path(self.store_root).parent
        return (place / "cluster", *sorted(folder for folder in place.glob("clusters/*") if folder.is_dir()))

    @property
    def bucket_name(self) -> str:
        return self.store_root.partition("://")[2]
