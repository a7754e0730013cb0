"""What Cloud Build is asked for (contract 4.7), and what is sent to it.

The names are those of the REST API: https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.builders.dockerfile import build_context
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import BuildOptions, ImageRequest

SOURCE = "source.tar.gz"
STEP = "gcr.io/cloud-builders/docker"
GLOBAL = "global"
_POOL = re.compile(r"projects/[^/]+/locations/([^/]+)/workerPools/[^/]+")


@dataclass(frozen=True)
class Workshop:
    """Where images are built, and by whom."""

    project: str
    cluster: str
    options: BuildOptions

    @property
    def location(self) -> str:
        """The region, which is that of the worker pool where there is one.

        :raises ConfigurationError: the pool is elsewhere than the region that was asked for.
        """
        options = self.options
        pool = _POOL.fullmatch(options.worker_pool) if options.worker_pool else None
        if pool is None:
            return options.region or GLOBAL
        if options.region not in (None, pool[1]):
            raise ConfigurationError(
                f"`build_region` is {options.region!r}, and `build_worker_pool` lies in {pool[1]!r}.",
                advice="Leave `build_region` out: a build runs where its pool is.",
            )
        return pool[1]

    @property
    def place(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def account(self) -> str:
        """Resource name of the service account that builds; contract 1.6 unless the user names one."""
        given = self.options.service_account or f"kn-{self.cluster}-builds@{self.project}.iam.gserviceaccount.com"
        return given if "/" in given else f"projects/{self.project}/serviceAccounts/{given}"

    def log_url(self, build_id: str) -> str:
        """Where people read the log, until the service says so itself."""
        region = "" if self.location == GLOBAL else f";region={self.location}"
        return f"https://console.cloud.google.com/cloud-build/builds{region}/{build_id}?project={self.project}"


def build_request(shop: Workshop, uri: str, source: str, tags: Sequence[str]) -> dict[str, Any]:
    """The build of one image.

    :param uri: the image's name.
    :param source: ``gs://`` object with what is built.
    :param tags: by which the build is found again, beside the user's.
    """
    options = shop.options
    bucket, _, name = source.removeprefix("gs://").partition("/")
    images = [uri, *_caches(uri, options)]
    how: dict[str, Any] = {"logging": "CLOUD_LOGGING_ONLY"}
    if options.machine_type:
        how["machineType"] = options.machine_type
    if options.worker_pool:
        how["pool"] = {"name": options.worker_pool}
    return {
        "source": {"storageSource": {"bucket": bucket, "object": name}},
        "steps": [{"name": STEP, "env": ["DOCKER_BUILDKIT=1"], "args": _arguments(images)}],
        "images": images,
        "timeout": f"{options.timeout:g}s",
        "serviceAccount": shop.account,
        "options": how,
        "tags": list(dict.fromkeys([*tags, *options.tags])),
    }


def _caches(uri: str, options: BuildOptions) -> list[str]:
    """The name under which the next build of the category finds this one's layers."""
    image, _, tag = uri.rpartition(":")
    return [f"{image}:cache-{tag.partition('-')[0]}"] if options.layer_cache else []


def _arguments(images: Sequence[str]) -> list[str]:
    """Of docker. Nothing under the cache's name yet is a warning for BuildKit, no error."""
    cache = [word for name in images[1:] for word in ("--cache-from", name, "--build-arg", "BUILDKIT_INLINE_CACHE=1")]
    return ["build", "--progress", "plain", *cache, *(word for name in images for word in ("--tag", name)), "."]


def source_archive(request: ImageRequest) -> bytes:
    """Dockerfile and requirements as a gzip tar; the same bytes for the same request."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(build_context(request).items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
