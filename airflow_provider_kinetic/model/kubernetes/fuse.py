"""Mounts of buckets in a pod template (contract 3.3): an annotation, a volume each, a mount each.

The CSI driver's own ``readOnly`` is not set, as upstream leaves it: the mount in the container is read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.mounts import FuseMount

ANNOTATIONS = {"gke-gcsfuse/volumes": "true"}
"""Of the pod: GKE adds the container that mounts."""
DRIVER = "gcsfuse.csi.storage.gke.io"


def volumes_of(mounts: Sequence[FuseMount]) -> list[dict[str, Any]]:
    return [
        {
            "name": _name(number),
            "csi": {
                "driver": DRIVER,
                "volumeAttributes": {"bucketName": mount.bucket, "mountOptions": mount_options(mount)},
            },
        }
        for number, mount in enumerate(mounts)
    ]


def mounts_of(mounts: Sequence[FuseMount]) -> list[dict[str, Any]]:
    """``volumeMounts`` of the container.

    :raises ConfigurationError: two at one path.
    """
    paths = [mount.path for mount in mounts]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigurationError(f"`volumes` mounts twice at {path!r}.", advice="Give each a path of its own.")
    return [{"name": _name(number), "mountPath": path, "readOnly": True} for number, path in enumerate(paths)]


def mount_options(mount: FuseMount) -> str:
    """Objects have no folders, hence ``implicit-dirs``; a comma ends an option, so those of a name are escaped."""
    folder = mount.folder.replace(",", "\\,")
    return f"implicit-dirs,only-dir={folder}" if folder else "implicit-dirs"


def _name(number: int) -> str:
    return f"gcs-fuse-{number}"
