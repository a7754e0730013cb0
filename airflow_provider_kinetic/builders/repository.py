"""Where the images of a cluster lie in Artifact Registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_kinetic.model.errors import ConfigurationError

PACKAGE = "base"
"""Last part of an image's name (contract 1.6)."""

_REGION = "us-central1"
"""Of a zone that names none (contract 1.6)."""
_CONTINENTS = ("us", "asia", "europe")
_REPOSITORY = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/\s:@]+)/([^/\s:@]+)((?:/[^/\s:@]+)*)")


@dataclass(frozen=True)
class DockerRepository:
    """Where images of one cluster lie."""

    location: str
    project: str
    name: str
    folder: str = ""
    """Parts of the image's name between the repository and its last one, with a final slash."""

    @classmethod
    def of(cls, text: str) -> DockerRepository:
        """From ``{location}-docker.pkg.dev/{project}/{repository}``, with or without folders behind.

        :raises ConfigurationError: this is no repository of Artifact Registry.
        """
        found = _REPOSITORY.fullmatch(text.rstrip("/"))
        if found is None:
            raise ConfigurationError(
                f"`build_repository` is {text!r}, which is no Docker repository of Artifact Registry.",
                advice="Write {location}-docker.pkg.dev/{project}/{repository}. Images in other registries can be used"
                " with `container_image`, but are not built.",
            )
        location, project, name, folder = found.groups()
        return cls(location, project, name, f"{folder.lstrip('/')}/" if folder else "")

    @classmethod
    def of_cluster(cls, project: str, zone: str, cluster: str) -> DockerRepository:
        """The one that upstream makes for a cluster (contract 1.6)."""
        region = zone.rpartition("-")[0] or _REGION
        continent = region.partition("-")[0]
        return cls(continent if continent in _CONTINENTS else region, project, f"kn-{cluster}")

    @property
    def image(self) -> str:
        """The image's name without its tag."""
        return f"{self.location}-docker.pkg.dev/{self.project}/{self.name}/{self.folder}{PACKAGE}"

    @property
    def path(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.name}"

    @property
    def package(self) -> str:
        return f"{self.path}/packages/{quote(self.folder + PACKAGE, safe='')}"
